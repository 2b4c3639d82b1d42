"""Every error that VLM-RB raises on purpose.

    VlmrbError
    ├── ConfigError              a setting is out of range or conflicts with another (also a ValueError)
    ├── EnvironmentSetupError    an environment does not exist, or cannot be created or used
    │   └── EnvironmentFailedError   it fails in a run, or gives something that nothing can be learned from
    ├── DivergedError            learning gives numbers that are NaN or infinite
    ├── StoreError               the database cannot do what was asked
    │   ├── StoreUnavailableError    unreachable, read-only, deleted while in use, or its folder does not exist
    │   │   └── StoreBusyError           locked or unreachable at the moment; trying again later may succeed
    │   ├── StoreCorruptError        the file is not a usable database, or was written by a newer version
    │   ├── StoreFullError           the database's disk (or quota) is full
    │   └── NotFoundError            no run, clip, prompt or metric with that name or id
    ├── RunBusyError             another live process is training this run
    │   └── RunLostError             it has taken the run over from this one
    ├── LauncherError            a cluster cannot be reached, or cannot run this
    ├── CheckpointError          a checkpoint is missing or damaged
    └── ScorerError              a scorer cannot be created or has failed
        ├── ScorerSetupError         unknown scorer, missing model folder, missing extra
        ├── ScorerUnavailableError   a server does not answer (after retries)
        └── ScorerDiedError          the scoring process died and could not be restarted

Each message names the value, what is allowed, and the way out. The command line prints it without a
traceback and exits with status 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SHOWN = 60  # characters of a rejected value that a message repeats


class VlmrbError(Exception):
    """Base class: catch this to catch everything the engine raises on purpose."""


class ConfigError(VlmrbError, ValueError):
    """A setting is out of range or conflicts with another."""


class EnvironmentSetupError(VlmrbError):
    """An environment does not exist, or cannot be created or used."""


class EnvironmentFailedError(EnvironmentSetupError):
    """An environment fails in a run, or gives something that nothing can be learned from, such as a NaN reward."""


class DivergedError(VlmrbError):
    """Learning gives numbers that are NaN or infinite."""


class StoreError(VlmrbError):
    """The database cannot do what was asked."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached, opened or written."""


class StoreBusyError(StoreUnavailableError):
    """The database is locked or unreachable at the moment; trying again later may succeed."""


class StoreCorruptError(StoreError):
    """The file is not a usable database."""


class StoreFullError(StoreError):
    """The database's disk (or quota) is full."""


class NotFoundError(StoreError):
    """No run, clip, prompt or metric with that name or id."""


class RunBusyError(VlmrbError):
    """Another live process is training this run."""


class RunLostError(RunBusyError):
    """Another process has taken the run over, since this one was considered dead."""


class LauncherError(VlmrbError):
    """A cluster cannot be reached, or its machines cannot run this."""


class CheckpointError(VlmrbError):
    """A checkpoint is missing or damaged."""


class ScorerError(VlmrbError):
    """A scorer cannot be created or has failed."""


class ScorerSetupError(ScorerError):
    """A scorer is unknown, or its model, folder or optional dependency is missing."""


class ScorerUnavailableError(ScorerError):
    """A scoring server does not answer, after retries."""


class ScorerDiedError(ScorerError):
    """The scoring process died and could not be restarted."""


def shown(value: Any, length: int = _SHOWN, form: Callable[[Any], str] = repr) -> str:
    """A value of any kind and size, in one line and shortened, for a message.

    Args:
        value: anything, also what cannot be printed: an integer of thousands of digits, lists thousands deep.
        length: maximum number of characters before the ellipsis.
        form: repr or str.
    """
    try:
        words = " ".join(form(value).split()) or repr(value)
    except Exception:  # noqa: BLE001  whatever an object's own method does
        return f"a value of type {type(value).__name__} that cannot be shown"
    return words if len(words) <= length else f"{words[:length]}…"
