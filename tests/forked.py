"""Processes that begin with the project's modules imported: each is forked from a server that has imported them once."""

from __future__ import annotations

import os
from multiprocessing.context import ForkServerContext, ForkServerProcess

_IMPORTS = [
    "tests.forked",
    "vlmrb.scoring.worker",
    "vlmrb.envs.rendering",
    "vlmrb.train.trainer",
    "app.__main__",
    "app.main",
    "app.server",
    "app.studio",
]
_IMPORTS += ["torch", "transformers.generation.utils", "transformers.models.qwen2_vl.modeling_qwen2_vl"]
_IMPORTS += [f"transformers.models.auto.{part}_auto" for part in ("modeling", "processing", "video_processing")]


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
FORKED.set_forkserver_preload(_IMPORTS)  # there is one server for all
