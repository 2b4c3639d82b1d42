"""The command `control`: requests a live change, which the run applies and acknowledges."""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING, Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, add_run_argument
from vlmrb.errors import ConfigError, VlmrbError
from vlmrb.types import LIVE_CHANGES, LiveChange

if TYPE_CHECKING:
    from vlmrb.store import Store


ACTIONS = ("pause", "unpause", "stop")


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "control",
        control_run,
        "change a run while it trains: λ, prompt, ruling question, pause, unpause, stop",
        "python -m vlmrb control 3 --lambda 0.25 --wait 30",
        details="The run applies the change within seconds and records the step at which it took effect.",
    )
    add_run_argument(parser)
    parser.add_argument(
        "action",
        nargs="?",
        choices=(*ACTIONS, "resume"),  # 'resume' is the old name of 'unpause'
        metavar="ACTION",
        help="; ".join(f"{name}: {LIVE_CHANGES[name]}" for name in ACTIONS),
    )
    parser.add_argument(
        "--lambda",
        dest="vlm_weight",
        metavar="X",
        help="λ, the share of each batch drawn by label: 0 to 1, 'none' (no mixture) or 'schedule' (as configured)",
    )
    parser.add_argument("--prompt", metavar="TEXT", help="new prompt: a preset, 'name@version', or the text of a yes/no question")
    parser.add_argument(
        "--question",
        metavar="N",
        help="let question N of the set, from 1, decide the labels of new clips; 'schedule': as configured (--curriculum)",
    )
    parser.add_argument(
        "--wait", type=float, metavar="S", default=0.0, help="wait up to S seconds for the run to apply the change"
    )


def control_run(arguments: argparse.Namespace) -> int:
    """`control RUN`: reject what cannot work, else store a request; `--wait` waits for the outcome."""
    from vlmrb.store import Store

    given = (arguments.action, arguments.vlm_weight, arguments.prompt, arguments.question)
    if sum(each is not None for each in given) != 1:
        raise ConfigError("control: give exactly one of pause, unpause, stop, --lambda X, --prompt TEXT or --question N")
    if not 0 <= arguments.wait < math.inf:
        raise ConfigError(f"--wait: got {arguments.wait}; give 0 or more seconds")
    with Store(arguments.store, create=False) as store:
        change_id = _request(store, arguments)
        if change_id is None:
            return _report_cancelled(arguments)
        row = _follow(store, arguments.run_id, change_id, arguments.wait)
    if arguments.json:
        text.print_json(change_json(row))
    else:
        print(f"run {row.run_id}: {row.name}{f' {row.value}' if row.value is not None else ''}: {text.plain(outcome(row))}")
    return 2 if row.status == "rejected" else 0


def _request(store: Store, arguments: argparse.Namespace) -> int | None:
    """Store the request; None if the run was still queued and has been removed from the queue instead."""
    from vlmrb import jobs

    if arguments.vlm_weight is not None:
        return jobs.request_lambda(store, arguments.run_id, arguments.vlm_weight)
    if arguments.prompt is not None:
        return jobs.request_prompt(store, arguments.run_id, arguments.prompt)
    if arguments.question is not None:
        return jobs.request_question(store, arguments.run_id, arguments.question)
    ask = {"pause": jobs.pause, "unpause": jobs.unpause, "resume": jobs.unpause, "stop": jobs.stop}[arguments.action]
    return ask(store, arguments.run_id)


def _report_cancelled(arguments: argparse.Namespace) -> int:
    if arguments.json:
        text.print_json({"run_id": arguments.run_id, "name": "stop", "status": "cancelled"})
    else:
        print(f"run {arguments.run_id}: removed from the queue")
    return 0


def _follow(store: Store, run_id: int, change_id: int, seconds: float) -> LiveChange:
    deadline = time.monotonic() + seconds
    while True:
        row = next((row for row in store.live_changes(run_id) if row.change_id == change_id), None)
        if row is None:
            raise VlmrbError(f"request {change_id} of run {run_id} no longer exists; was the run deleted?")
        if row.status != "requested" or time.monotonic() >= deadline:
            return row
        time.sleep(0.2)


def change_json(row: LiveChange) -> dict[str, Any]:
    """A live change as JSON, where its id is called 'control_id'."""
    fields = text.to_json(row)
    return {"control_id": fields.pop("change_id"), **fields}


def outcome(row: LiveChange) -> str:
    """The outcome of a request, in words."""
    if row.status == "applied":
        return f"applied at step {row.applied_step}"
    return f"rejected: {row.error}" if row.status == "rejected" else "requested, not applied yet"
