"""The configuration of a training run: typed, checked at the edge, one model for the command line, web forms and store.

Every field carries its meaning, unit and range; `python -m vlmrb train --help` is generated from them. Defaults that
the paper (arXiv 2602.01915) states are marked [paper]; the others are decisions of this project.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vlmrb.errors import ConfigError


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

Lambda = Annotated[float, Field(ge=0.0, le=1.0)]


def _option(default: Any, description: str, group: str, **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"group": group}, **limits)


class TrainConfig(BaseModel):
    """Everything that decides what a run does. Steps are environment steps, counted over all environments."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    # -- environment
    env: str = _option(
        "MiniGrid-DoorKey-8x8-v0",
        "environment id: any MiniGrid, OGBench or Gymnasium id, 'DoorKey-12x12' for a DoorKey of any size, or "
        "'module:Id' to import a module that registers it first",
        "environment",
        min_length=1,
    )
    observation: Literal["egocentric", "full"] = _option(
        "egocentric",
        "MiniGrid observation: what the agent sees (7×7, direction, what is carried) or the full grid",
        "environment",
    )
    visuals: Literal["normal", "swapped", "abstract"] = _option(
        "normal",
        "how MiniGrid frames are drawn for the scorer: as they are, sprites swapped misleadingly, or abstract textures",
        "environment",
    )
    success_return: float | None = _option(
        None, "count an episode as a success when its return reaches this (default: the environment's own rule)", "environment"
    )
    n_envs: int = _option(8, "parallel environments", "environment", ge=1, le=1024)

    # -- learning
    algo: Literal["dqn", "iqn", "sac", "td3"] = _option(
        "dqn", "agent: dqn or iqn where actions are choices, sac or td3 where they are continuous", "agent"
    )
    total_steps: int = _option(200_000, "length of the run, in steps", "agent", ge=1)
    seed: int = _option(0, "seed of everything random", "agent", ge=0, lt=2**31)
    learning_starts: int = _option(2_000, "steps of random play before the first update", "agent", ge=0)
    play_steps: int = _option(
        0, "steps of scripted play that the run begins with, before the agent acts (OGBench's manipulation tasks)", "agent", ge=0
    )
    train_freq: int = _option(4, "steps per update", "agent", ge=1)
    batch_size: int = _option(128, "transitions per update", "agent", ge=1, le=65_536)
    learning_rate: float = _option(3e-4, "Adam's step size", "agent", gt=0, le=1)
    gamma: float = _option(0.99, "discount per step", "agent", ge=0, le=1)
    n_step: int = _option(3, "steps of the n-step return", "agent", ge=1, le=100)
    tau: float = _option(
        0.005, "share of the online network that moves into the target at each target update", "agent", gt=0, le=1
    )
    target_update_interval: int = _option(1, "updates between target updates", "agent", ge=1)
    double: bool = _option(True, "double Q-learning (DQN only)", "agent")
    dueling: bool = _option(True, "DQN and IQN: dueling value and advantage heads", "agent")
    quantiles: int = _option(16, "IQN: quantile fractions per update", "agent", ge=1, le=256)
    hidden_size: int = _option(128, "width of the hidden layers", "agent", ge=8, le=4096)
    layer_norm: bool = _option(
        True, "SAC and TD3: normalise the critics' hidden layers, so that values of untried actions stay in bounds", "agent"
    )
    target_entropy: float | None = _option(
        None, "SAC: entropy that the temperature aims at (default: minus how many numbers an action has)", "agent"
    )
    exploration_noise: float = _option(0.1, "TD3: deviation of the noise on actions in [−1, 1]", "agent", ge=0, le=2)
    target_noise: float = _option(0.2, "TD3: deviation of the noise that smooths the target", "agent", ge=0, le=2)
    target_noise_clip: float = _option(0.5, "TD3: where that noise is clipped", "agent", ge=0, le=2)
    policy_delay: int = _option(2, "TD3: updates of the critics per update of the policy", "agent", ge=1, le=1000)
    epsilon_start: float = _option(1.0, "DQN and IQN: probability of a random action at the start", "agent", ge=0, le=1)
    epsilon_end: float = _option(0.1, "DQN and IQN: probability of a random action after the decay", "agent", ge=0, le=1)
    epsilon_decay: float = _option(0.5, "fraction of the run over which ε falls linearly", "agent", ge=0, le=1)
    epsilon_spread: bool = _option(
        True, "give environment i of E a floor of 0.5^(1 + 5i/(E−1)) for its ε, so that some keep exploring", "agent"
    )
    device: str = _option("cpu", "torch device of the agent: cpu, cuda, cuda:1, mps", "agent", min_length=1)

    # -- replay
    replay: Literal["uniform", "per", "vlm"] = _option(
        "vlm", "how batches are drawn: uniformly, by TD error (PER), or by the VLM mixture", "replay"
    )
    buffer_size: int = _option(300_000, "transitions kept", "replay", ge=1)
    lambda_max: Annotated[Lambda | None, BeforeValidator(_number_or_none)] = _option(
        0.5,
        "share of each batch drawn by VLM priority once warmed up [paper: 0.5]; 'none' for no mixture at all (the ablation)",
        "replay",
    )
    lambda_warmup: float = _option(
        0.5, "fraction of the run over which λ rises linearly from 0 [paper: 0.5]", "replay", ge=0, le=1
    )
    td_boost: bool = _option(False, "VLM priority times |δ| [paper: off for discrete, on for continuous actions]", "replay")
    per_alpha: float = _option(0.6, "PER: exponent of the priority", "replay", ge=0, le=1)
    per_beta: float = _option(0.4, "PER: importance-weight exponent at the start; rises linearly to 1", "replay", ge=0, le=1)

    # -- clips and scoring
    clip_length: int = _option(32, "steps per clip [paper: 32]", "scoring", ge=1, le=1024)
    scorer: str | None = _option(
        None,
        "who labels clips: embedded (the small models that come with this project, for MiniGrid and OGBench's robot), "
        "hf:<hub id or folder>, openai:<base-url>#<model>, or the controls oracle, reward, random:<positive rate> "
        "(default: embedded for --replay vlm)",
        "scoring",
    )
    prompt: str = _option(
        "games", "name of a prompt preset, 'name@version', or the text of a yes/no question", "scoring", max_length=8_000
    )
    threshold: float = _option(0.5, "a clip is labelled yes where P(yes) reaches this [paper: 0.5]", "scoring", ge=0, le=1)
    sync_scoring: bool = _option(False, "wait for every score, so that a run with the same seed repeats exactly", "scoring")
    scoring_batch_size: int = _option(8, "clips per call of the scorer at most", "scoring", ge=1, le=1024)
    scoring_queue_size: int = _option(256, "clips that may wait; beyond, the oldest are dropped and counted", "scoring", ge=1)
    scorer_frames: int | None = _option(
        None,
        "frames of a clip that a model looks at, evenly spaced (default: as many as the embedded model is made for, else 8)",
        "scoring",
        ge=1,
        le=256,
    )
    scorer_device: str = _option("auto", "hf: torch device, or auto", "scoring", min_length=1)
    scorer_dtype: Literal["auto", "float32", "bfloat16", "float16"] = _option("auto", "hf: weights' dtype", "scoring")
    on_scorer_failure: Literal["continue", "stop"] = _option(
        "continue", "when scoring cannot be brought back: train on without new scores (and say so), or stop the run", "scoring"
    )

    # -- bookkeeping
    eval_interval: int = _option(20_000, "steps between evaluations on held-out seeds", "evaluation", ge=1)
    eval_episodes: int = _option(40, "episodes per evaluation", "evaluation", ge=1, le=10_000)
    eval_epsilon: float = _option(0.05, "DQN and IQN: probability of a random action during evaluation", "evaluation", ge=0, le=1)
    log_interval: int = _option(2_000, "steps between rows of the training metrics", "evaluation", ge=1)
    checkpoint_interval: int = _option(25_000, "steps between checkpoints", "evaluation", ge=1)
    keep_clips: bool = _option(True, "store clips, so that they can be watched and scored again", "evaluation")

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_agent(cls, values: Any) -> Any:
        return {**AGENT_DEFAULTS.get(str(values.get("algo")), {}), **values} if isinstance(values, dict) else values

    @model_validator(mode="before")
    @classmethod
    def _embedded_where_no_other_is_named(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("replay", "vlm") == "vlm" and values.get("scorer") is None:
            return {**values, "scorer": "embedded"}
        return values

    @model_validator(mode="after")
    def _settings_fit_together(self) -> TrainConfig:
        problems = []
        if not self.env.strip():
            problems.append("env: is empty; give an environment id such as MiniGrid-DoorKey-8x8-v0")
        if not self.prompt.strip():
            problems.append("prompt: is empty; give a preset (games, manipulation) or the text of a yes/no question")
        if self.epsilon_end > self.epsilon_start:
            problems.append(f"epsilon_end: {self.epsilon_end} is above epsilon_start {self.epsilon_start}")
        if self.buffer_size < self.n_envs * self.n_step:
            problems.append(f"buffer_size: {self.buffer_size} is below n_envs · n_step = {self.n_envs * self.n_step}")
        if self.play_steps > self.total_steps:
            problems.append(f"play_steps: {self.play_steps} is above total_steps {self.total_steps}")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def defaults_for(algo: str) -> dict[str, Any]:
    """Every setting's default where this agent is chosen."""
    return {name: field.default for name, field in TrainConfig.model_fields.items()} | dict(AGENT_DEFAULTS.get(algo, {}))


def make_config(**values: Any) -> TrainConfig:
    """Check `values` and return the configuration.

    Raises:
        ConfigError: with one line per wrong value: its name, what was given, and what is allowed.
    """
    try:
        return TrainConfig(**values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item) for item in error.errors())) from None


def is_control(scorer: str | None) -> bool:
    """Whether a scorer's name is that of a control, which reads neither prompt nor frames."""
    return (scorer or "").partition(":")[0] in ("oracle", "reward", "random")


def _explain(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"] if part not in ("float", "constrained-float", "nullable"))
    message = item["msg"].removeprefix("Value error, ")
    if not name:
        return message
    if item["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    return f"{name}: got {item['input']!r}; {message[0].lower()}{message[1:]}{_allowed(name)}"


def _allowed(name: str) -> str:
    """The range in words, from the field's own limits."""
    limits = field_limits(name)
    words = []
    if "ge" in limits or "gt" in limits:
        words.append(f"{'≥' if 'ge' in limits else '>'} {limits.get('ge', limits.get('gt'))}")
    if "le" in limits or "lt" in limits:
        words.append(f"{'≤' if 'le' in limits else '<'} {limits.get('le', limits.get('lt'))}")
    if name == "lambda_max":
        words.append("or 'none'")
    return f" (allowed: {' and '.join(words[:2])}{' ' + words[2] if len(words) > 2 else ''})" if words else ""


def field_limits(name: str) -> dict[str, Any]:
    """The bounds of a field: any of ge, gt, le, lt. Empty for an unknown name or a field without bounds."""
    if name == "lambda_max":
        return {"ge": 0.0, "le": 1.0}
    field = TrainConfig.model_fields.get(name)
    found: dict[str, Any] = {}
    for entry in field.metadata if field else ():
        for key in ("ge", "gt", "le", "lt"):
            if getattr(entry, key, None) is not None:
                found[key] = getattr(entry, key)
    return found


def parse_lambda(value: Any) -> float | None | str:
    """A live λ: a number in [0, 1], None or 'none' (no mixture at all), or 'schedule'.

    Raises:
        ConfigError: anything else.
    """
    if value in ("schedule", None):
        return value
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        raise ConfigError(f"lambda: got {value!r}; allowed: a number from 0 to 1, 'none' or 'schedule'")
    return number
