"""The configuration of a training run: typed, checked at the edge, one model for the command line, web forms and store.

Every field carries its meaning, unit and range; `python -m vlmrb train --help` is generated from them. Defaults that
the paper (arXiv 2602.01915) states are marked [paper]; the others are decisions of this project.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from vlmrb.addresses import masked, parse_address
from vlmrb.curriculum import Curriculum
from vlmrb.errors import ConfigError, ScorerSetupError, shown
from vlmrb.moments import Moments
from vlmrb.panels import members_of, parse_panel
from vlmrb.replay.hindsight import MAX_K, MAX_OTHERS, OFF, Relabelling, asks_in_words
from vlmrb.replay.registry import bases, broken_methods, replay_method, replay_methods
from vlmrb.retention import Retention
from vlmrb.settings import Setting, describe
from vlmrb.transcripts import MAX_TEMPLATE, check_transcript
from vlmrb.types import IMPORTED, PLACEHOLDERS


def _number_or_none(value: Any) -> Any:
    """Accept 'none' for None, so that a command line can say it."""
    if isinstance(value, str) and value.strip().lower() in ("none", "null"):
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number or 'none'")
    return value


DEFAULT_FRAMES = 8
"""Frames of a clip that a model is shown where nothing says how many."""

_CONTINUOUS = {
    "learning_starts": 1_000,
    "train_freq": 1,
    "batch_size": 256,
    "n_step": 1,
    "hidden_size": 256,
    "td_boost": True,
    "prompt": "manipulation",
}
AGENT_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"sac": _CONTINUOUS, "td3": _CONTINUOUS}
"""Defaults of an agent where they are not those of the fields, which are made for DQN."""

VALUE_BASED = ("dqn", "iqn")
ACTOR_CRITIC = ("sac", "td3")

Lambda = Annotated[float, Field(ge=0.0, le=1.0)]


def _option(
    default: Any,
    description: str,
    group: str,
    *,
    agents: Sequence[str] = (),
    choices: Callable[[], Iterable[str]] | None = None,
    **limits: Any,
) -> Any:
    """A field with all that the command line, error messages and the launch form say of it (`vlmrb.settings`).

    Args:
        agents: those that read it; empty for all.
        choices: its allowed values, where they are known only at run time.
    """

    def extra(schema: dict[str, Any]) -> None:
        schema |= {"group": group, "agents": list(agents)}
        if choices is not None:
            schema["enum"] = list(choices())

    return Field(default, description=description, json_schema_extra=extra, **limits)


class TrainConfig(BaseModel):
    """Everything that decides what a run does. Steps are environment steps, counted over all environments."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    # -- environment
    env: str = _option(
        "MiniGrid-DoorKey-8x8-v0",
        "environment id: any MiniGrid, OGBench or Gymnasium id, 'DoorKey-12x12' for a DoorKey of any size, or "
        "'module:Id' to import the module that registers it first",
        "environment",
        min_length=1,
    )
    observation: Literal["egocentric", "full"] = _option(
        "egocentric",
        "MiniGrid observation: the agent's own view (7×7, direction, carried object) or the full grid",
        "environment",
    )
    visuals: Literal["normal", "swapped", "abstract"] = _option(
        "normal",
        "how MiniGrid frames are drawn for the scorer: unchanged, with misleadingly swapped sprites, or with abstract textures",
        "environment",
    )
    transcript: str | None = _option(
        None,
        "what clips hold in place of pictures, for scorers that read text: 'ansi', the environment's own text; 'numbers', all "
        "of its numbers; or a template for each step, such as 'step {step}: position {obs[0]:.2f}, action {action}, reward "
        "{reward}'",
        "environment",
        max_length=MAX_TEMPLATE,
    )
    success_return: float | None = _option(
        None,
        "count a step as a success when the episode's return so far reaches this (default: the environment's own rule: what it "
        "reports as info['is_success'] or info['success'], else its registered reward threshold; MiniGrid: the episode "
        "terminated with a positive reward); anything but true or false is unknown and left out of success rates",
        "environment",
    )
    success_step: Literal["last", "any"] = _option(
        "last",
        "which steps decide whether an episode is a success: its last one, or any",
        "environment",
    )
    n_envs: int = _option(8, "number of parallel environments", "environment", ge=1, le=1024)

    # -- learning
    algo: Literal["dqn", "iqn", "sac", "td3"] = _option(
        "dqn", "agent: dqn or iqn for discrete actions, sac or td3 for continuous ones", "agent"
    )
    total_steps: int = _option(200_000, "length of the run in environment steps", "agent", ge=1)
    schedule_steps: int | None = _option(
        None,
        "steps that the schedules of ε, λ and β are laid out for (default: total_steps; in a branch: as in its parent)",
        "agent",
        ge=1,
    )
    seed: int = _option(0, "seed of everything random", "agent", ge=0, lt=2**31)
    learning_starts: int = _option(2_000, "steps of random play before the first update", "agent", ge=0)
    play_steps: int = _option(
        0, "steps of scripted play at the start of the run, before the agent acts (OGBench's manipulation tasks)", "agent", ge=0
    )
    train_freq: int = _option(
        4, "steps per update; the replay ratio (samples drawn per stored transition) is batch_size / train_freq", "agent", ge=1
    )
    batch_size: int = _option(128, "transitions per update", "agent", ge=1, le=65_536)
    learning_rate: float = _option(3e-4, "learning rate of Adam", "agent", gt=0, le=1)
    gamma: float = _option(0.99, "discount per step", "agent", ge=0, le=1)
    n_step: int = _option(3, "steps of the n-step return", "agent", ge=1, le=100)
    tau: float = _option(0.005, "soft update coefficient of the target network", "agent", gt=0, le=1)
    target_update_interval: int = _option(1, "updates between target network updates", "agent", ge=1, agents=VALUE_BASED)
    double: bool = _option(True, "double Q-learning", "agent", agents=("dqn",))
    dueling: bool = _option(True, "dueling value and advantage heads", "agent", agents=VALUE_BASED)
    quantiles: int = _option(16, "quantile fractions per update", "agent", ge=1, le=256, agents=("iqn",))
    hidden_size: int = _option(128, "width of the hidden layers", "agent", ge=8, le=4096)
    layer_norm: bool = _option(
        True, "layer normalisation in the critics, which bounds the values of untried actions", "agent", agents=ACTOR_CRITIC
    )
    target_entropy: float | None = _option(
        None, "target entropy of the temperature (default: minus the number of action dimensions)", "agent", agents=("sac",)
    )
    exploration_noise: float = _option(
        0.1, "standard deviation of the noise on actions in [−1, 1]", "agent", ge=0, le=2, agents=("td3",)
    )
    target_noise: float = _option(
        0.2, "standard deviation of the noise that smooths the target", "agent", ge=0, le=2, agents=("td3",)
    )
    target_noise_clip: float = _option(0.5, "bound that this noise is clipped to", "agent", ge=0, le=2, agents=("td3",))
    policy_delay: int = _option(2, "critic updates per policy update", "agent", ge=1, le=1000, agents=("td3",))
    epsilon_start: float = _option(1.0, "probability of a random action at the start", "agent", ge=0, le=1, agents=VALUE_BASED)
    epsilon_end: float = _option(0.1, "probability of a random action after the decay", "agent", ge=0, le=1, agents=VALUE_BASED)
    epsilon_decay: float = _option(
        0.5, "fraction of the run over which ε falls linearly", "agent", ge=0, le=1, agents=VALUE_BASED
    )
    epsilon_spread: bool = _option(
        True,
        "give environment i of E a floor of 0.5^(1 + 5i/(E−1)) for its ε, so that some environments keep exploring",
        "agent",
        agents=VALUE_BASED,
    )
    device: str = _option("cpu", "torch device of the agent: cpu, cuda, cuda:1, mps", "agent", min_length=1)

    # -- replay
    replay: str = _option("vlm", "replay method: how batches are drawn", "replay", choices=replay_methods)
    base: str = _option("uniform", "method that the labels' choice is mixed with [paper: uniform]", "replay", choices=bases)
    her: str = _option(
        OFF,
        "hindsight for tasks with goals: replace the desired goal of a drawn transition, with probability k / (k + 1), by one "
        "that its episode achieved with this step or a later one (future:k), the last (final:k) or any (episode:k), and "
        f"recompute its reward; k from 1 to {MAX_K}, such as future:4. For tasks whose mission the agent reads: ask the scorer "
        "about k other missions per clip, and replace half of the missions by one that a clip of the episode has accomplished at "
        f"its end, now or later (words:k, k from 1 to {MAX_OTHERS}); {OFF} for none",
        "replay",
    )
    her_question: str = _option(
        "At the end of the clip, has the agent just done this: {mission}?",
        "what is asked about each other mission with her words:k; its words take the place of {mission}",
        "replay",
        max_length=500,
    )
    buffer_size: int = _option(300_000, "capacity of the replay buffer in transitions", "replay", ge=1)
    lambda_max: Annotated[Lambda | None, BeforeValidator(_number_or_none)] = _option(
        0.5,
        "λ, the share of each batch drawn by label, after the warm-up [paper: 0.5]; 'none' for no mixture at all (an ablation)",
        "replay",
    )
    lambda_warmup: float = _option(
        0.5, "fraction of the run over which λ rises linearly from 0 [paper: 0.5]", "replay", ge=0, le=1
    )
    td_boost: bool = _option(
        False, "multiply a label's priority by |δ| [paper: off for discrete, on for continuous actions]", "replay"
    )
    enrichment: Annotated[float | None, BeforeValidator(_number_or_none)] = _option(
        None,
        "c: through one label, draw no transition more than c times as often as uniform replay would; what that takes from λ, "
        "also from a λ of none, goes to the base method [paper: no bound]",
        "replay",
        gt=0,
    )
    strata: bool = _option(
        False,
        "keep the answers to a prompt's questions apart (oracle: the kinds of progress), with an equal share of λ for each that "
        "has any yes; otherwise any yes makes a clip a yes [paper: one question]",
        "replay",
    )
    curriculum: str = _option(
        "",
        "which question of a set decides the labels when; the answers to the others are only stored: 'yes-rate:0.8' (the next "
        "question takes over once more than 80 % of the last 100 answers were yes), 'steps:20000,60000' or 'success:0.2,0.6' "
        "(the success rate of an evaluation) [paper: one question]",
        "replay",
        max_length=300,
    )
    first_in_episode: bool = _option(
        False, "a yes to a question counts only in the first clip of an episode that has one [paper: off]", "replay"
    )
    net_progress: bool = _option(
        False,
        "what is undone within the clip does not count as progress, such as a key that is picked up and dropped again "
        "(scorer oracle, alone or in a vote or cascade) [paper: off]",
        "replay",
    )
    credit: float = _option(
        0.0,
        "g: the clip d places before a yes in its episode has at least priority g^d, down to 0.01 [paper: 0]",
        "replay",
        ge=0,
        lt=1,
    )
    lambda_from: Literal["start", "first-success"] = _option(
        "start",
        "when the warm-up of λ begins: at the start of the run or with its first successful training episode, with λ = 0 before "
        "[paper: start]",
        "replay",
    )
    lambda_falls: bool = _option(
        False,
        "multiply λ by min(1, 2·(1 − y)), y being the share of yes among the labelled transitions in the buffer [paper: off]",
        "replay",
    )
    importance_weights: bool = _option(
        False, "correct the loss for the probability that each item was drawn with [paper: off for vlm, on for per]", "replay"
    )
    per_alpha: float = _option(0.6, "exponent of the priority", "replay", ge=0, le=1)
    per_beta: float = _option(
        0.4, "initial exponent of the importance weights; rises linearly to per_beta_end", "replay", ge=0, le=1
    )
    per_beta_end: float = _option(
        1.0,
        "exponent of the importance weights at the end of the run; equal to per_beta, it stays constant",
        "replay",
        ge=0,
        le=1,
    )
    laber_factor: int = _option(4, "candidates scored per item of a batch", "replay", ge=1, le=64)
    reaper_omega: float = _option(0.2, "exponent of the reliability", "replay", ge=0, le=1)

    # -- clips and scoring
    clip_length: int = _option(32, "steps per clip [paper: 32]", "scoring", ge=1, le=1024)
    clip_stride: int | None = _option(
        None,
        "steps from the beginning of a clip to that of the next one; less than clip_length for overlapping clips, of which "
        "clip_length / clip_stride times as many are scored (default: clip_length) [paper: no overlap]",
        "scoring",
        ge=1,
        le=1024,
    )
    overlap: Literal["max", "mean"] = _option(
        "max", "priority of a step that several overlapping clips hold: the largest or the mean of theirs", "scoring"
    )
    scorer: str | None = _option(
        None,
        "who labels clips: embedded (the small models that ship with this project, for MiniGrid and OGBench's robot), "
        "hf:<hub id or folder>, openai:<base-url>#<model>, shared:<base-url> of serve-scorer, a control scorer: oracle, reward, "
        "random:<positive rate>, or several of these together: vote:A|B|C, cascade:SMALL|LARGE@0.2",
        "scoring",
    )
    prompt: str = _option(
        "games",
        "a prompt preset, 'name@version', or the text of a yes/no question or of a set of them (lines that start with '- ')",
        "scoring",
        max_length=8_000,
    )
    threshold: float = _option(0.5, "label a clip yes where P(yes) reaches this [paper: 0.5]", "scoring", ge=0, le=1)
    sync_scoring: bool = _option(False, "wait for every score, so that runs with the same seed repeat exactly", "scoring")
    scoring_batch_size: int = _option(8, "maximum number of clips per call of the scorer", "scoring", ge=1, le=1024)
    scoring_queue_size: int = _option(
        256, "maximum number of clips waiting for the scorer; beyond it the oldest are dropped and counted", "scoring", ge=1
    )
    scorer_frames: int | None = _option(
        None,
        "evenly spaced frames of a clip that a model looks at (default: what the embedded model was made for, otherwise 8); of a "
        "transcript, its steps (default: all that fit)",
        "scoring",
        ge=1,
        le=256,
    )
    scorer_device: str = _option("auto", "torch device of an hf: scorer, or auto", "scoring", min_length=1)
    scorer_dtype: Literal["auto", "float32", "bfloat16", "float16"] = _option(
        "auto", "dtype of the weights of an hf: scorer", "scoring"
    )
    on_scorer_failure: Literal["continue", "stop"] = _option(
        "continue", "when scoring cannot be restarted: continue training without new scores (and say so), or stop", "scoring"
    )

    # -- bookkeeping
    eval_interval: int = _option(20_000, "steps between evaluations on held-out seeds", "evaluation", ge=1)
    eval_episodes: int = _option(40, "episodes per evaluation", "evaluation", ge=1, le=10_000)
    eval_max_steps: int | None = _option(
        None,
        "maximum length of an evaluation episode; one that reaches it counts as not successful, and the run says so (default: "
        "10000, or the environment's own time limit where that is longer)",
        "evaluation",
        ge=1,
        le=10_000_000,
    )
    eval_epsilon: float = _option(
        0.05, "probability of a random action during evaluation", "evaluation", ge=0, le=1, agents=VALUE_BASED
    )
    log_interval: int = _option(2_000, "steps between rows of the training metrics", "evaluation", ge=1)
    checkpoint_interval: int = _option(25_000, "steps between checkpoints", "evaluation", ge=1)
    keep_checkpoints: str = _option(
        "",
        "checkpoints to keep for branches, such as 'first-success,fifth-success,every:100000': at the end of the step of the "
        "first and of the fifth successful training episode, and every so many steps (the newest 20, at most 4 GiB)",
        "evaluation",
        max_length=200,
    )
    checkpoints: str | None = _option(
        None,
        "where checkpoints are: a folder, a URL such as s3://bucket/folder or gs://bucket/folder, or 'local' for this machine "
        "(default: $VLMRB_CHECKPOINTS, else what 'jobs --checkpoints' set, else next to an SQLite store; a PostgreSQL store "
        "needs one of these)",
        "evaluation",
        max_length=1_000,
    )
    keep_clips: str = _option(
        "all",
        "clips to store, so that they can be watched and scored again: 'all', 'yes' (those labelled yes), 'every:100' (every "
        "100th), 'newest:1000' or 'none'; others go while the run trains, once neither a resume nor a branch can need them",
        "evaluation",
        max_length=40,
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_agent_and_method(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if values.get("scorer") is None:  # then that of the method, if it needs one
            values = {name: value for name, value in values.items() if name != "scorer"}
        chosen = (str(values.get(name, cls.model_fields[name].default)) for name in ("algo", "replay", "base"))
        return _without_ratio(values, {**_own_defaults(*chosen), **values})

    @field_validator("replay", "base")
    @classmethod
    def _is_a_method(cls, key: str, info: ValidationInfo) -> str:
        known = tuple(replay_methods()) if info.field_name == "replay" else bases()
        if key not in known:
            unusable = "".join(f"; {name!r} cannot be used: {reason}" for name, reason in broken_methods().items())
            raise ValueError(f"allowed: {', '.join(known)}{unusable}")
        unknown = sorted(set(replay_methods()[key].settings) - set(cls.model_fields))
        if unknown:
            raise ValueError(f"this method reads settings that do not exist: {', '.join(unknown)}")
        return key

    @field_validator("keep_checkpoints")
    @classmethod
    def _names_moments(cls, text: str) -> str:
        return str(Moments.parse(text))

    @field_validator("keep_clips", mode="before")
    @classmethod
    def _is_a_retention(cls, value: Any) -> str:
        return str(Retention.parse(value))

    @field_validator("checkpoints")
    @classmethod
    def _is_an_address(cls, text: str | None) -> str | None:
        return None if text is None else parse_address(text)

    @field_validator("curriculum")
    @classmethod
    def _is_a_curriculum(cls, text: str) -> str:
        return str(Curriculum.parse(text))

    @field_validator("transcript")
    @classmethod
    def _is_a_transcript(cls, text: str | None) -> str | None:
        return None if text is None else check_transcript(text)

    @field_validator("her", mode="before")
    @classmethod
    def _names_relabelling(cls, text: Any) -> str:
        return str(Relabelling.parse(text) or OFF)

    @field_validator("her_question")
    @classmethod
    def _asks_about_a_mission(cls, text: str) -> str:
        text = text.strip()
        if not any(placeholder in text for placeholder in PLACEHOLDERS) or not text.isprintable() or text[0] in "-[":
            raise ValueError(
                "allowed: a question on one line with {mission} in it, such as 'At the end of the clip, has the agent just done "
                "this: {mission}?'"
            )
        return text

    @property
    def hindsight(self) -> Relabelling | None:
        """How goals or missions of drawn transitions are replaced; None for not at all."""
        return Relabelling.parse(self.her)

    @property
    def retention(self) -> Retention:
        """Which clips the run keeps."""
        return Retention.parse(self.keep_clips)

    @property
    def horizon(self) -> int:
        """Steps that the schedules of ε, λ and β are laid out for."""
        return self.schedule_steps or self.total_steps

    @model_validator(mode="after")
    def _settings_fit_together(self) -> TrainConfig:
        problems = []
        if not self.env.strip():
            problems.append("env: is empty; give an environment id such as MiniGrid-DoorKey-8x8-v0")
        if not self.prompt.strip():
            problems.append("prompt: is empty; give a preset (games, manipulation) or the text of a yes/no question")
        if self.clip_stride is not None and self.clip_stride > self.clip_length:
            problems.append(
                f"clip_stride: {self.clip_stride} is above clip_length {self.clip_length}, so that the steps in between would be "
                f"in no clip; allowed: 1 to {self.clip_length}"
            )
        if self.epsilon_end > self.epsilon_start:
            problems.append(f"epsilon_end: {self.epsilon_end} is above epsilon_start {self.epsilon_start}")
        if self.buffer_size < self.n_envs * self.n_step:
            problems.append(f"buffer_size: {self.buffer_size} is below n_envs · n_step = {self.n_envs * self.n_step}")
        method, base = replay_method(self.replay), replay_method(self.base)
        if not method.mixes and self.base != "uniform":
            problems.append(f"base: {self.replay} is not mixed with another method; leave base out, or choose a replay that is")
        if method.mixes and self.importance_weights and not base.exact:
            problems.append(
                f"importance_weights: {self.base} states probabilities for the candidates of one draw only, so that the mixture "
                "with it has no exact weights; leave them off, or choose another base"
            )
        if self.per_beta > self.per_beta_end:
            problems.append(f"per_beta: {self.per_beta} is above per_beta_end {self.per_beta_end}")
        try:
            parse_panel(self.scorer or "")
        except ScorerSetupError as error:
            problems.append(str(error))
        if self.net_progress and all(member.scorer != "oracle" for member in members_of(self.scorer or "")):
            problems.append(f"net_progress: only the scorer oracle knows what was undone, and this run's is {self.scorer}")
        if self.hindsight is not None and self.hindsight.in_words:
            if self.scorer is None:
                problems.append(
                    f"her: got {self.her!r}, which asks a scorer about other missions, and this run has none; give a scorer: "
                    "embedded, hf:<hub id or folder>, openai:<base-url>#<model>, oracle or random:<positive rate>"
                )
            elif any(member.scorer == "reward" for member in members_of(self.scorer)):
                problems.append(
                    f"her: got {self.her!r}, which asks the scorer about other missions, and reward knows only what the own one "
                    "paid; choose embedded, hf:<hub id or folder>, openai:<base-url>#<model>, oracle or random:<positive rate>"
                )
        if self.lambda_max is None and (self.lambda_from != "start" or self.lambda_falls):
            name = "lambda_falls" if self.lambda_falls else "lambda_from"
            problems.append(f"{name}: with lambda_max none there is no λ to schedule; leave it out, or give lambda_max a number")
        if self.play_steps > self.total_steps:
            problems.append(f"play_steps: {self.play_steps} is above total_steps {self.total_steps}")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _without_ratio(given: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The values with `train_freq` in place of `replay_ratio`.

    Args:
        given: what was asked for.
        values: that, and the defaults of agent and method.
    """
    ratio = values.pop("replay_ratio", None)
    if ratio is None:
        return values
    try:
        wanted, batch_size = float(ratio), int(values.get("batch_size", TrainConfig.model_fields["batch_size"].default))
    except (TypeError, ValueError, OverflowError):
        wanted, batch_size = math.nan, 1
    if not (math.isfinite(wanted) and wanted > 0 and batch_size > 0):
        raise ValueError(f"replay_ratio: got {shown(ratio)}; must be a number > 0, samples drawn per stored transition")
    train_freq = max(1, round(batch_size / wanted))
    if not math.isclose(batch_size / train_freq, wanted, rel_tol=1e-5):
        fewer = math.floor(batch_size / wanted)
        nearest = " and ".join(f"{batch_size / steps:g} (train_freq {steps})" for steps in (fewer + 1, fewer) if steps)
        raise ValueError(f"replay_ratio: got {shown(ratio)}; with batch_size {batch_size}, the nearest allowed are {nearest}")
    if str(given.get("train_freq", train_freq)).strip() != str(train_freq):
        raise ValueError(
            f"replay_ratio: {wanted:g} with batch_size {batch_size} is train_freq {train_freq}, but train_freq is given as "
            f"{given['train_freq']}; leave one of them out"
        )
    return {**values, "train_freq": train_freq}


def is_known(config: Mapping[str, Any]) -> bool:
    """Whether a run's stored settings say how it was trained; those of curves from other programs do not."""
    return IMPORTED not in config or "batch_size" in config


def replay_ratio(config: Mapping[str, Any]) -> float | None:
    """Samples drawn per stored transition, of a run with these settings, as they were stored; None if that is not known."""
    if not is_known(config):
        return None
    settings = {**defaults_of_run(config), **config}
    return float(settings["batch_size"] / settings["train_freq"])


def _own_defaults(algo: str, replay: str, base: str) -> dict[str, Any]:
    """Defaults of an agent, a method and its base where they are not those of the fields; of unknown ones, none."""
    methods = replay_methods()
    method = methods.get(replay)
    own = dict(AGENT_DEFAULTS.get(algo, {}))
    if method is not None and method.mixes and base in methods:
        own |= methods[base].defaults
    return own | (dict(method.defaults) if method is not None else {})


def defaults_for(algo: str = "dqn", replay: str = "vlm", base: str = "uniform") -> dict[str, Any]:
    """Every setting's default where this agent and this replay method are chosen."""
    return {name: field.default for name, field in TrainConfig.model_fields.items()} | _own_defaults(algo, replay, base)


def defaults_of_run(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting's default for a run with these settings, as it was stored."""
    given = {name: config[name] for name in ("algo", "replay", "base") if name in config}
    return defaults_for(**given)


_READ_IN_WORDS = {"scorer", "prompt", "threshold", "clip_length", "clip_stride", "visuals"}
"""Settings that hindsight in words reads beside every replay method."""


def unread_settings(replay: str, base: str = "uniform", her: Any = OFF) -> set[str]:
    """Settings that other replay methods read and this one, with this hindsight, does not: they decide nothing in its runs."""
    method = replay_method(replay)
    read = {"replay", *method.settings, *(replay_method(base).settings if method.mixes else ())}
    read |= _READ_IN_WORDS if asks_in_words(her) else set()
    return {name for each in replay_methods().values() for name in each.settings} - read


def feedback_for(config: TrainConfig) -> frozenset[str]:
    """What a run's replay wants from the agent (`vlmrb.replay.sampling.FEEDBACK`)."""
    method = replay_method(config.replay)
    return frozenset(method.feedback + (replay_method(config.base).feedback if method.mixes else ()))


def settings() -> Mapping[str, Setting]:
    """What there is to say about every setting, by name."""
    return _describe(tuple(replay_methods()))


@functools.cache
def _describe(keys: tuple[str, ...]) -> Mapping[str, Setting]:
    methods = [replay_method(key) for key in keys]
    readers = {name: tuple(method.key for method in methods if name in method.settings) for name in TrainConfig.model_fields}
    defaults = {**AGENT_DEFAULTS, **{method.key: method.defaults for method in methods}}
    return describe(TrainConfig.model_json_schema(), readers, defaults)


def make_config(**values: Any) -> TrainConfig:
    """Check `values` and return the configuration.

    Raises:
        ConfigError: with one line per wrong value: its name, what was given, and what is allowed.
    """
    try:
        return TrainConfig(**values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item) for item in error.errors())) from None


def _explain(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"] if part not in ("float", "constrained-float", "nullable"))
    message = item["msg"].removeprefix("Value error, ")
    if not name:
        return str(message)
    if item["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    given = shown(item["input"], form=masked if name == "checkpoints" else repr)
    return f"{name}: got {given}; {message[0].lower()}{message[1:]}{_allowed(name)}"


def _allowed(name: str) -> str:
    """The range in words, with 'none' where that is a value."""
    setting = settings().get(name)
    if setting is None or not setting.range:
        return ""
    return f" (allowed: {setting.range}{' or none' if setting.optional else ''})"


def parse_lambda(value: Any) -> float | None | str:
    """A live λ: a number in [0, 1], None or 'none' (no mixture at all), or 'schedule'.

    Raises:
        ConfigError: anything else.
    """
    if value == "schedule":
        return "schedule"
    if value is None or (isinstance(value, str) and value.strip().lower() == "none"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        raise ConfigError(f"lambda: got {shown(value)}; allowed: a number from 0 to 1, 'none' or 'schedule'")
    return number
