"""The command `serve-scorer`: one process holds a model, and many runs share it."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from vlmrb.cli import text
from vlmrb.cli.options import add_command, positive_integer
from vlmrb.config import TrainConfig
from vlmrb.errors import ConfigError
from vlmrb.types import ClipScorer

PORT = 7870


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "serve-scorer",
        serve_scorer,
        "hold a model in one process and score the clips of many runs with it",
        "python -m vlmrb serve-scorer --scorer hf:models/plm-1b",
        details="Runs use it as --scorer shared:http://127.0.0.1:7870. Their clips are scored in common batches, and each run "
        "gets its turn. Does not use the store. Listens on this machine alone; for --host, set a secret in the environment "
        "variable VLMRB_SCORER_KEY, here and for the runs.",
    )
    parser.add_argument(
        "--scorer",
        default="embedded",
        metavar="S",
        help="embedded (default; for grids and the robot, each with its model), embedded:robots or hf:<hub id or folder>",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--batch-size", type=positive_integer, default=32, metavar="N", help="maximum number of clips at once (default: 32)"
    )
    parser.add_argument(
        "--gather-ms", type=float, default=20.0, metavar="T", help="time that a batch waits for clips of other runs (default: 20)"
    )
    parser.add_argument(
        "--max-waiting",
        type=positive_integer,
        default=4096,
        metavar="N",
        help="clips that may wait; beyond that, a run that has more than its share of them is told to try again (default: 4096)",
    )
    parser.add_argument("--transcripts", action="store_true", help="for runs whose clips are text (their setting transcript)")
    parser.add_argument("--frames", type=positive_integer, metavar="N", help="frames per clip that runs send by default")
    parser.add_argument(
        "--on",
        metavar="WHERE",
        help="ray: hold the model in a Ray cluster, that of RAY_ADDRESS or of this machine, or a new one; ray:ADDRESS names one",
    )
    parser.add_argument(
        "--replicas",
        type=positive_integer,
        default=4,
        metavar="N",
        help="with --on ray: models at most, as many as are busy (default: 4)",
    )
    parser.add_argument("--cpus", type=float, default=1.0, metavar="X", help="with --on ray: CPUs of each model (default: 1)")
    parser.add_argument(
        "--gpus", type=float, default=0.0, metavar="X", help="with --on ray: GPUs of each model, such as 0.5 (default: 0)"
    )
    defaults = TrainConfig.model_fields
    parser.add_argument("--device", default=defaults["scorer_device"].default, help="torch device (default: %(default)s)")
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16", "float16"),
        default=defaults["scorer_dtype"].default,
        help="of the model's weights (default: %(default)s)",
    )


def serve_scorer(arguments: argparse.Namespace) -> int:
    """`serve-scorer`: until interrupted."""
    kind = arguments.scorer.partition(":")[0]
    if kind not in ("embedded", "hf"):
        raise ConfigError(
            f"--scorer: got {arguments.scorer!r}; a model in this process can be shared: embedded, embedded:robots or hf:<hub id "
            "or folder>. Servers need no other in front, control scorers cost nothing, and a vote can have shared members"
        )
    if not 0 <= arguments.port <= 65_535:
        raise ConfigError(f"--port: got {arguments.port}; allowed: 0 to 65535")
    if not 0 <= arguments.gather_ms <= 1000:
        raise ConfigError(f"--gather-ms: got {arguments.gather_ms:g}; allowed: 0 to 1000")
    if arguments.on is not None and arguments.on.partition(":")[0] != "ray":
        raise ConfigError(
            f"--on: got {arguments.on!r}; allowed: ray, or ray:ADDRESS of a cluster; without --on, this process holds the model"
        )
    for option in ("cpus", "gpus"):
        if not 0 <= getattr(arguments, option) <= 1024:
            raise ConfigError(f"--{option}: got {getattr(arguments, option):g}; allowed: 0 to 1024")
    from vlmrb.scoring.serving import check_address
    from vlmrb.scoring.shared import KEY

    key = os.environ.get(KEY, "").strip()
    check_address(arguments.host, key)
    with closing(_listen(arguments.host, arguments.port)) as listener, _cluster(arguments.on):
        _serve(arguments, key, listener)
    return 0


@contextmanager
def _cluster(on: str | None) -> Iterator[None]:
    """Connected to the Ray cluster, if one is wanted."""
    if on is None:
        yield
        return
    from vlmrb.scoring.on_ray import connect, disconnect

    is_new = connect(on.partition(":")[2])
    if is_new:
        print("vlmrb: no Ray cluster was there; started one on this machine, which ends with this command", file=sys.stderr)
    try:
        yield
    finally:
        disconnect()


def _serve(arguments: argparse.Namespace, key: str, listener: socket.socket) -> None:
    from vlmrb.scoring.worker import leave_the_learner_a_core

    leave_the_learner_a_core()
    import uvicorn

    from vlmrb.scoring import ScorerOptions, make_scorer
    from vlmrb.scoring.embedded import fitting
    from vlmrb.scoring.serving import make_app
    from vlmrb.scoring.sharing import SharedBatches

    options = ScorerOptions(arguments.frames, device=arguments.device, dtype=arguments.dtype, text=arguments.transcripts)
    names = fitting(arguments.scorer)

    def make(name: str) -> ClipScorer:
        if arguments.on is None:
            return make_scorer(name, options)
        from vlmrb.scoring.on_ray import RayModel

        app = f"vlmrb-{listener.getsockname()[1]}-{name.replace(':', '-').replace('/', '-')}"
        return RayModel(app, name, options, replicas=arguments.replicas, cpus=arguments.cpus, gpus=arguments.gpus)

    def make_all() -> dict[str, ClipScorer]:
        made: dict[str, ClipScorer] = {}
        with ExitStack() as stack:  # what has been made is released if the next one cannot be
            for pictures, name in names.items():
                made[pictures] = make(name)
                stack.callback(made[pictures].close)
            stack.pop_all()
        return made

    batches = SharedBatches(
        make_all,
        at_once=1 if arguments.on is None else 2 * arguments.replicas,
        batch_size=arguments.batch_size,
        gather_s=arguments.gather_ms / 1000,
        max_waiting=arguments.max_waiting,
    )
    app = make_app(batches, names=names, text=arguments.transcripts, key=key)
    url = f"http://{_shown_host(arguments.host)}:{listener.getsockname()[1]}"
    if arguments.json:
        print(json.dumps({"url": url, "scorer": arguments.scorer}), flush=True)
    else:
        print(f"{text.plain(arguments.scorer)} is shared at {url}; use it with: --scorer shared:{url}", flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5, server_header=False))
    try:
        server.run([listener])
    finally:
        batches.close()


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)  # whoever reads the address below may come before the server looks
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}; give another --port, or --port 0") from error
    return listener
