"""Processes that begin with the project's modules imported: each is forked from a server that has imported them once."""

from __future__ import annotations

import os
from multiprocessing.context import ForkServerContext, ForkServerProcess


class _Forked(ForkServerProcess):
    """A process with the environment variables of the one that starts it, as if it were spawned, and not with the server's."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self._environment = dict(os.environ)

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment)
        super().run()


class _Context(ForkServerContext):
    Process = _Forked  # type: ignore[assignment]


FORKED = _Context()
FORKED.set_forkserver_preload(["tests.forked", "vlmrb.scoring.worker", "vlmrb.envs.rendering"])
