"""The command line: `python -m vlmrb COMMAND …`. Each command lives in `vlmrb.cli`; this file parses, runs and reports."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from vlmrb.errors import VlmrbError

EXIT_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 success, 1 `doctor` found a problem, 2 an error, 130 interrupted.
    """
    from vlmrb.cli.text import complain
    from vlmrb.cli.train import EXIT_INTERRUPTED

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without λ gets a '?' instead of a crash
    arguments = build_parser().parse_args(argv)
    try:
        status = arguments.run(arguments)
        sys.stdout.flush()
        return int(status)
    except VlmrbError as error:
        complain(error)
        return EXIT_ERROR
    except KeyboardInterrupt:
        complain("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # as in `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser for all commands."""
    from vlmrb.cli import (
        branch,
        clips,
        compare,
        doctor,
        foreign,
        gc,
        jobs,
        live,
        pretrain,
        runs,
        score,
        serve,
        study,
        train,
        trial,
    )

    parser = argparse.ArgumentParser(
        prog="vlmrb",
        description="VLM-guided experience replay: train agents, inspect every clip, score and curve, and compare methods.",
        epilog="python -m vlmrb COMMAND --help lists the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (train, jobs, branch, runs, clips, live, score, trial, serve, compare, foreign, study, pretrain, gc, doctor):
        module.add(commands)
    return parser


class _Version(argparse.Action):
    """Looks up the version only when asked, which takes longer than parsing."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from vlmrb import __version__

        print(f"vlmrb {__version__}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
