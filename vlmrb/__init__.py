"""VLM-guided experience replay: a frozen vision-language model decides which memories an agent replays.

Public names are loaded on first use, so `import vlmrb` is fast and does not import torch:

    from vlmrb import Store, make_config
    from vlmrb.train import train

    with Store("runs.db") as store:
        result = train(make_config(env="MiniGrid-DoorKey-5x5-v0", scorer="oracle"), store=store)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmrb.config import TrainConfig, make_config
    from vlmrb.envs import make_env, make_renderer
    from vlmrb.errors import VlmrbError
    from vlmrb.scoring import make_scorer
    from vlmrb.store import Store
    from vlmrb.train import TrainResult
    from vlmrb.types import Batch, Clip, ClipScore, ClipScorer, Event, Prompt, Transition

__all__ = [
    "Batch",
    "Clip",
    "ClipScore",
    "ClipScorer",
    "Event",
    "Prompt",
    "Store",
    "TrainConfig",
    "TrainResult",
    "Transition",
    "VlmrbError",
    "__version__",
    "make_config",
    "make_env",
    "make_renderer",
    "make_scorer",
]

_HOME_OF_NAME = {
    "Batch": "types",
    "Clip": "types",
    "ClipScore": "types",
    "ClipScorer": "types",
    "Event": "types",
    "Prompt": "types",
    "Store": "store",
    "TrainConfig": "config",
    "TrainResult": "train",
    "Transition": "types",
    "VlmrbError": "errors",
    "make_config": "config",
    "make_env": "envs",
    "make_renderer": "envs",
    "make_scorer": "scoring",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = _installed_version()
    elif name in _HOME_OF_NAME:
        value = getattr(import_module(f"{__name__}.{_HOME_OF_NAME[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(__name__)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"
