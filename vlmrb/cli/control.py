"""The command that changes a live run: it appends a request, which the run takes up and acknowledges."""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, add_run_argument
from vlmrb.errors import ConfigError, RunBusyError, VlmrbError
from vlmrb.types import ControlRequest, RunSummary


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "control",
        control_run,
        "change a run while it trains: λ, prompt, pause, resume, stop",
        "python -m vlmrb control 3 --lambda 0.25 --wait 30",
        details="The run takes the change up within seconds and records the step at which it took effect.",
    )
    add_run_argument(parser)
    parser.add_argument("action", nargs="?", choices=("pause", "resume", "stop"), help="what the run should do")
    parser.add_argument(
        "--lambda",
        dest="vlm_weight",
        metavar="X",
        help="share of each batch drawn by VLM priority: 0 to 1, 'none' (no mixture), or 'schedule' (as configured)",
    )
    parser.add_argument("--prompt", metavar="TEXT", help="preset, 'name@version', or the text of a yes/no question")
    parser.add_argument("--wait", type=float, metavar="S", default=0.0, help="wait up to S seconds until the run has taken it up")


def control_run(arguments: argparse.Namespace) -> int:
    """`control RUN`: refuse what cannot work, else append a request; `--wait` follows it."""
    from vlmrb.store import Store

    if sum(given is not None for given in (arguments.action, arguments.vlm_weight, arguments.prompt)) != 1:
        raise ConfigError("control: give exactly one of pause, resume, stop, --lambda X or --prompt TEXT")
    if not 0 <= arguments.wait < math.inf:
        raise ConfigError(f"--wait: got {arguments.wait}; give a number of seconds from 0 up")
    weight = parse_vlm_weight(arguments.vlm_weight) if arguments.vlm_weight is not None else None
    with Store(arguments.store, create=False) as store:
        run = store.run(arguments.run_id)
        _check_that_it_listens(run, arguments)
        request: tuple[str, float | str | int | None]
        if arguments.action:
            request = (arguments.action, None)
        elif weight is not None:
            request = ("lambda", weight)
        else:
            request = ("prompt", _stored_prompt(store, arguments.prompt).prompt_id)
        control_id = store.request_control(run.run_id, *request)
        row = _follow(store, run.run_id, control_id, arguments.wait)
    if arguments.json:
        text.print_json(row)
    else:
        print(f"run {run.run_id}: {row.name}{f' {row.value}' if row.value is not None else ''}: {text.plain(outcome(row))}")
    return 2 if row.status == "rejected" else 0


def parse_vlm_weight(given: str) -> float | str:
    """A λ given as text: a number in [0, 1], 'none' or 'schedule'.

    Raises:
        ConfigError: anything else, NaN included.
    """
    word = given.strip().lower()
    if word in ("none", "schedule"):
        return word
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise ConfigError(
            f"--lambda: got {given!r}; give a number from 0 to 1, 'none' (no mixture) or 'schedule' (as configured)"
        )
    return value


def _stored_prompt(store: Any, given: str) -> Any:
    from vlmrb.scoring.prompts import resolve_prompt

    if not given.strip():
        raise ConfigError("--prompt: is empty; give a preset (games, manipulation) or the text of a yes/no question")
    prompt = resolve_prompt(given)
    return store.save_prompt(prompt.name, prompt.text)


def _check_that_it_listens(run: RunSummary, arguments: argparse.Namespace) -> None:
    if run.status not in ("running", "paused"):
        way_out = (
            f"; go on with it by: python -m vlmrb train --resume {run.run_id}" if run.status in ("interrupted", "stopped") else ""
        )
        raise RunBusyError(f"run {run.run_id} is {run.status}: no process listens for changes{way_out}")
    if run.replay != "vlm" and not arguments.action:
        raise ConfigError(
            f"run {run.run_id} draws batches by {run.replay!r}: λ and the prompt have no effect; only pause, resume and stop do"
        )


def _follow(store: Any, run_id: int, control_id: int, seconds: float) -> ControlRequest:
    deadline = time.monotonic() + seconds
    while True:
        row = next((row for row in store.controls(run_id) if row.control_id == control_id), None)
        if row is None:
            raise VlmrbError(f"the request {control_id} of run {run_id} is gone; was the run deleted meanwhile?")
        if row.status != "requested" or time.monotonic() >= deadline:
            return row
        time.sleep(0.2)


def outcome(row: ControlRequest) -> str:
    """What became of a request, in words."""
    if row.status == "applied":
        return f"applied at step {row.applied_step}"
    return f"rejected: {row.error}" if row.status == "rejected" else "requested, not yet taken up"
