"""Create runs. Every check happens before a run's row is written; nothing is trained. Torch is only loaded to try a GPU."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vlmrb.agents import check_agent
from vlmrb.config import TrainConfig
from vlmrb.curriculum import Curriculum
from vlmrb.devices import pick_device
from vlmrb.envs import TriedEnvironment, try_env, what_is_tried
from vlmrb.errors import ConfigError
from vlmrb.memory import available_memory, in_gib
from vlmrb.panels import is_control, reads_prompt
from vlmrb.places import check_place, choose_place
from vlmrb.replay.buffer import bytes_per_item
from vlmrb.scoring import check_reads, check_scorer, resolve_prompt, settle_scorer
from vlmrb.scoring.prompts import check_placeholders
from vlmrb.store import Store
from vlmrb.types import MAX_QUESTIONS, PLACEHOLDERS, ActionSpec, Lineage, ObservationSpec, Prompt


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run that is ready to start: its configuration, how its frames are rendered, and what counts as a success."""

    config: TrainConfig
    render_spec: dict[str, Any]
    success_rule: str

    def with_seed(self, seed: int) -> CheckedRun:
        """The same run with another seed, which needs no further check."""
        return replace(self, config=self.config.model_copy(update={"seed": seed}))


WEIGHT_BYTES = 20
"""A weight of the network that acts, with its gradient, the optimiser's two numbers, and the target network's."""

Tried = dict[tuple[Any, ...], TriedEnvironment]
"""Environments that have been tried, by what was tried of them."""


def check_run(config: TrainConfig, tried: Tried | None = None) -> CheckedRun:
    """Check that a run of `config` can start here: its environment is tried once, and its replay buffer has to fit.

    Args:
        config: its settings.
        tried: the environments of runs that were checked just before; this one's is added.

    Raises:
        VlmrbError: the environment, scorer, prompt, curriculum or device cannot be used, the scorer cannot read the clips, the
            agent does not support the environment's actions, or the replay buffer is larger than the memory.
    """
    if config.scorer is not None:
        check_scorer(config.scorer)
    prompt = resolve_prompt(config.prompt)
    check_curriculum(config, prompt)
    check_placeholders(config.her_question, "her_question")
    check_questions(config, prompt)
    looks = config.scorer is not None and not is_control(config.scorer)
    for setting, device in (("device", config.device), ("scorer_device", config.scorer_device if looks else "auto")):
        if device not in ("auto", "cpu"):
            pick_device(device, setting)
    tried = {} if tried is None else tried
    key = what_is_tried(config)
    if key not in tried:
        tried[key] = try_env(config)
    env = tried[key]
    if prompt.needs_mission and not env.mission and config.scorer is not None:
        raise ConfigError(
            f"prompt: it asks about the mission or goal, and {config.env} does not say what its episodes are about; leave out "
            f"{' and '.join(PLACEHOLDERS)}, or give the environment an attribute 'mission', a text or a function that returns one"
        )
    if config.scorer is not None:
        check_reads(config.scorer, env.render_spec)
    check_agent(config, env.action_spec)
    check_memory(config, env.observation_spec, env.action_spec)
    return CheckedRun(with_fitting_scorer(config, env.render_spec), env.render_spec, env.success_rule)


def check_curriculum(config: TrainConfig, prompt: Prompt) -> None:
    """Check that the curriculum comes to every question. How many answers a control scorer gives is its own affair.

    Raises:
        ConfigError: it does not.
    """
    curriculum, questions = Curriculum.parse(config.curriculum), len(prompt.questions)
    if not curriculum.by or config.scorer is None or not reads_prompt(config.scorer):
        return
    needed = 1 + len(curriculum.bounds)
    asks = "asks one question" if questions == 1 else f"is a set of {questions} questions"
    if questions < needed:
        raise ConfigError(
            f"curriculum: {config.curriculum!r} needs a set of at least {needed} questions, and the prompt {asks}; give a set, "
            "one question per line after '- ', such as the preset 'milestones'"
        )
    if questions > needed and curriculum.by != "yes-rate":
        raise ConfigError(
            f"curriculum: {config.curriculum!r} comes to question {needed} and stays there, and the prompt {asks}; give "
            f"{questions - 1} values, or a set of {needed} questions"
        )


def check_questions(config: TrainConfig, prompt: Prompt) -> None:
    """Check that a clip is asked no more questions than a set may have, those about other missions included.

    Raises:
        ConfigError: it is.
    """
    hindsight, questions = config.hindsight, len(prompt.questions)
    if hindsight is None or not hindsight.in_words or not reads_prompt(config.scorer):
        return
    if questions + hindsight.k > MAX_QUESTIONS:
        left = MAX_QUESTIONS - questions
        way_out = f"give at most words:{left}, or a smaller set" if left else "give a smaller set"
        raise ConfigError(
            f"her: got {config.her!r}, which adds {hindsight.k} to the prompt's {questions} questions; a clip is asked up to "
            f"{MAX_QUESTIONS} together; {way_out}"
        )


def check_memory(config: TrainConfig, observations: ObservationSpec, actions: ActionSpec) -> None:
    """Check that there is memory for what the run will put into its replay buffer, and for its networks.

    Raises:
        ConfigError: there is not; the message has the sizes and the ways out.
    """
    available = available_memory()
    seen = math.prod(observations.shape) if observations.kind == "vector" else 0
    networks = (seen + actions.n) * config.hidden_size * WEIGHT_BYTES
    if networks > available:
        raise ConfigError(
            f"hidden_size: with {config.hidden_size}, the networks for {config.env} ({seen:,} observed numbers, {actions.n:,} "
            f"choices of an action) take about {in_gib(networks)}, and {in_gib(available)} of memory are available here. Give a "
            "smaller hidden_size, or wrap the environment so that it has fewer"
        )
    size = bytes_per_item(observations, actions)
    held = min(config.buffer_size, config.total_steps)
    if held * size <= available:
        return
    shape = "×".join(map(str, observations.shape))
    kind = f"images of {shape}" if observations.kind == "image" else f"{shape} numbers"
    raise ConfigError(
        f"buffer_size: {held:,} transitions of {config.env} ({kind} each before and after the step) take {in_gib(held * size)}, "
        f"and {in_gib(available)} of memory are available here. Give at most {available // size:,}, or shrink the observations "
        "(for images: gymnasium.wrappers.ResizeObservation or GrayscaleObservation)"
    )


def with_fitting_scorer(config: TrainConfig, render_spec: dict[str, Any]) -> TrainConfig:
    """Replace 'embedded' by the model made for the run's frames, and presets of a panel's members by their newest versions."""
    if config.scorer is None or (fitting := settle_scorer(config.scorer, render_spec)) == config.scorer:
        return config
    check_scorer(fitting)
    return config.model_copy(update={"scorer": fitting})


def with_places(checked: Sequence[CheckedRun], store: Store) -> list[CheckedRun]:
    """Settle where the runs keep their checkpoints; each place is tried once.

    Raises:
        ConfigError: a place cannot be used, or a store that machines share needs one.
    """
    chosen = {given: choose_place(given, store) for given in dict.fromkeys(run.config.checkpoints for run in checked)}
    for address in dict.fromkeys(chosen.values()):
        check_place(address)
    return [replace(run, config=run.config.model_copy(update={"checkpoints": chosen[run.config.checkpoints]})) for run in checked]


def write_run(
    checked: CheckedRun,
    *,
    store: Store,
    name: str | None = None,
    set_name: str = "",
    tags: Iterable[str] = (),
    lineage: Lineage | None = None,
) -> int:
    """Write the row of a checked run, whose place for checkpoints is settled, and return its id."""
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
        VlmrbError: the environment, scorer, prompt or place for checkpoints cannot be used; nothing has been written.
    """
    (checked,) = with_places([check_run(config)], store)
    return write_run(checked, store=store, name=name)
