"""Create runs. Every check happens before a run's row is written; nothing is trained and torch is not loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from vlmrb.agents import check_agent
from vlmrb.config import TrainConfig
from vlmrb.envs import check_play, make_env
from vlmrb.scoring import check_scorer, fit_to_pictures, resolve_prompt
from vlmrb.store import Store
from vlmrb.types import Lineage


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run that is ready to start: its configuration, how its frames are rendered, and what counts as a success."""

    config: TrainConfig
    render_spec: dict[str, Any]
    success_rule: str

    def with_seed(self, seed: int) -> CheckedRun:
        """The same run with another seed, which needs no further check."""
        return replace(self, config=self.config.model_copy(update={"seed": seed}))


def check_run(config: TrainConfig) -> CheckedRun:
    """Check that a run of `config` can start here; creates its environment once.

    Raises:
        VlmrbError: the environment, scorer or prompt cannot be used, or the agent does not support its actions.
    """
    if config.scorer is not None:
        check_scorer(config.scorer)
    resolve_prompt(config.prompt)
    env = make_env(config)
    try:
        check_agent(config, env.action_spec)
        if config.play_steps:
            check_play(env)
        return CheckedRun(_with_fitting_scorer(config, env.render_spec), env.render_spec, env.success_rule)
    finally:
        env.close()


def _with_fitting_scorer(config: TrainConfig, render_spec: dict[str, Any]) -> TrainConfig:
    """Replace 'embedded' by the model made for the run's frames."""
    if config.scorer is None or (fitting := fit_to_pictures(config.scorer, render_spec)) == config.scorer:
        return config
    check_scorer(fitting)
    return config.model_copy(update={"scorer": fitting})


def write_run(
    checked: CheckedRun,
    *,
    store: Store,
    name: str | None = None,
    set_name: str = "",
    tags: Iterable[str] = (),
    lineage: Lineage | None = None,
) -> int:
    """Write the row of a checked run and return its id."""
    return store.create_run(
        checked.config.model_dump(),
        name=name,
        render_spec=checked.render_spec,
        success_rule=checked.success_rule,
        set_name=set_name,
        tags=tags,
        lineage=lineage,
    )


def create_run(config: TrainConfig, *, store: Store, name: str | None = None) -> int:
    """Check that a run of `config` can start, write its row, and return its id.

    Raises:
        VlmrbError: the environment, scorer or prompt cannot be used; nothing has been written.
    """
    return write_run(check_run(config), store=store, name=name)
