"""Which replay methods there are: the modules of `vlmrb.replay.methods`, and entry points of other packages.

Another package offers a method by an entry point of the group `vlmrb.replay_methods` that names its METHOD:

    [project.entry-points."vlmrb.replay_methods"]
    recent = "my_package.recent:METHOD"
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from vlmrb.errors import ConfigError
from vlmrb.replay import methods as package
from vlmrb.replay.method import ReplayMethod
from vlmrb.replay.sampling import Sampler

if TYPE_CHECKING:
    from vlmrb.config import TrainConfig

ENTRY_POINTS = "vlmrb.replay_methods"


class _Found(NamedTuple):
    methods: Mapping[str, ReplayMethod]
    broken: Mapping[str, str]


def replay_methods() -> Mapping[str, ReplayMethod]:
    """All methods by key, in the order in which they are offered: mixtures, then the usual baselines, then the others."""
    return _find().methods


def broken_methods() -> Mapping[str, str]:
    """Entry points that could not be used, by name, with the reason."""
    return _find().broken


def replay_method(key: str) -> ReplayMethod:
    """The method of that key.

    Raises:
        ConfigError: there is none.
    """
    methods = replay_methods()
    if key not in methods:
        raise ConfigError(f"replay: got {key!r}; allowed: {', '.join(methods)}")
    return methods[key]


def make_sampler(config: TrainConfig, capacity: int) -> Sampler:
    """The sampler of a run's replay method, for a buffer of so many items.

    Raises:
        ConfigError: it lacks a function that its method promises; a misspelt one would otherwise be passed over in silence.
    """
    method = replay_method(config.replay)
    sampler = method.make(config, capacity)
    needed = ["sample", "chances", *["feedback"] * bool(method.feedback), *["label"] * method.labels]
    needed += ["change"] * ("lambda" in method.live)
    needed += ["load_state_dict"] * hasattr(sampler, "state_dict") + ["state_dict"] * hasattr(sampler, "load_state_dict")
    missing = sorted({name for name in needed if not callable(getattr(sampler, name, None))})
    if missing:
        raise ConfigError(
            f"replay: the sampler of {method.key!r}, {type(sampler).__name__}, has no {' and no '.join(missing)}; "
            "`vlmrb.replay.sampling` says what each should do"
        )
    return sampler


def bases() -> tuple[str, ...]:
    """Keys of the methods that a mixture can be mixed with, uniform replay first."""
    return tuple(sorted((key for key, method in replay_methods().items() if not method.mixes), key=lambda key: key != "uniform"))


def usual_methods() -> tuple[str, ...]:
    """Keys of the methods that a comparison is made of where nobody names any."""
    return tuple(key for key, method in replay_methods().items() if method.usual)


def forget_methods() -> None:
    """Look again at the next question: packages have been installed or removed."""
    _find.cache_clear()


@functools.cache
def _find() -> _Found:
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        method = import_module(f"{package.__name__}.{module.name}").METHOD
        found[method.key] = method
    broken: dict[str, str] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            method = entry.load()
            if not isinstance(method, ReplayMethod):
                raise TypeError(f"{entry.value} is a {type(method).__name__}, not a ReplayMethod")
            if method.key in found:
                raise ValueError(f"there is a method with the key {method.key!r} already")
            found[method.key] = method
        except Exception as error:  # noqa: BLE001  somebody else's package must not end every command
            broken[entry.name] = f"{type(error).__name__}: {error}"
    order = sorted(found.values(), key=lambda method: (not method.mixes, not method.usual, method.key))
    return _Found(MappingProxyType({method.key: method for method in order}), MappingProxyType(broken))
