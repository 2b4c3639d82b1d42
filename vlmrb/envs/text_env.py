"""Gymnasium environments whose clips are text: their own text rendering, or a line of numbers per step.

Named numbers are those that the environment gives, not what the agent's network sees of them: a state of FrozenLake is the
number 14 and not sixteen numbers of which one is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from vlmrb.envs.base import Action, EnvStep
from vlmrb.envs.gymnasium_env import GymnasiumEnvironment
from vlmrb.envs.wrapping import only_watched
from vlmrb.errors import ConfigError, EnvironmentSetupError, shown
from vlmrb.transcripts import ANSI, MAX_BYTES, NUMBERS, StepNumbers, Template, cut, pack, plain_text
from vlmrb.transcripts.template import escaped

MAX_NUMBERS = 64
"""Observed numbers that 'numbers' writes; of more, a template chooses."""

_CLASSIC = {
    "CartPoleEnv": ("cart position", "cart velocity", "pole angle", "pole angular velocity"),
    "MountainCarEnv": ("position", "velocity"),
    "Continuous_MountainCarEnv": ("position", "velocity"),
    "AcrobotEnv": ("cos angle 1", "sin angle 1", "cos angle 2", "sin angle 2", "angular velocity 1", "angular velocity 2"),
    "PendulumEnv": ("x", "y", "angular velocity"),
}
"""What Gymnasium's classic control tasks observe."""


class TextEnvironment(GymnasiumEnvironment):
    """A Gymnasium environment whose snapshots are text.

    Args:
        env: created with render_mode='ansi' for a transcript 'ansi', else with any.
        name: its id, for errors.
        transcript: 'ansi', 'numbers' or a template.
        success_return, success_step: as for any Gymnasium environment.

    Raises:
        EnvironmentSetupError: the agents cannot use the action or observation space.
        ConfigError: the template names a number that there is not, or there are no numbers to write.
    """

    def __init__(
        self, env: gym.Env, name: str, transcript: str, success_return: float | None = None, success_step: str = "last"
    ) -> None:
        self._seen = _Seen(env)
        super().__init__(self._seen, success_return, success_step)
        self.render_spec = {"kind": "text"}
        self._name = name
        self._shortened = ""
        self._step, self._reward, self._return = 0, 0.0, 0.0
        self._template = None if transcript == ANSI else self._template_of(transcript)

    @property
    def notice(self) -> str:
        """What it gave that cannot be used as it is, in words; '' if nothing."""
        return ". ".join(filter(None, (super().notice, self._shortened)))

    def reset(self, seed: int) -> np.ndarray:
        """Start the episode with this seed."""
        self._step, self._reward, self._return = 0, 0.0, 0.0
        return super().reset(seed)

    def step(self, action: Action) -> EnvStep:
        """Act."""
        result = super().step(action)
        self._step += 1
        self._reward = result.reward
        self._return += result.reward
        return result

    def snapshot(self) -> np.ndarray:
        """The text of the last step, uint8 [S]; at most MAX_BYTES of it."""
        text = self._own_text() if self._template is None else self._template.fill(self._numbers())
        if not self._shortened and cut(text) != text:
            length = len(text.encode("utf-8", "replace"))
            self._shortened = f"a step's text takes {length:,} bytes, of which clips keep the first {MAX_BYTES:,}"
        return pack(text)

    def _own_text(self) -> str:
        try:
            text = self._env.render()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the environment's own code
            raise EnvironmentSetupError(
                f"{self._name}: render() fails with {type(error).__name__}: {shown(error, 300, str)}"
            ) from error
        text = text.getvalue() if hasattr(text, "getvalue") else text
        if not isinstance(text, str):
            raise EnvironmentSetupError(
                f"{self._name}: render() returned {type(text).__name__}, and transcript 'ansi' needs text (str); use 'numbers' "
                "or a template, or leave transcript out to show pictures"
            )
        return plain_text(text)

    def _numbers(self) -> StepNumbers:
        action = () if self._seen.action is None else _numbers_in(self._env.action_space, self._seen.action)
        reads = self._template is not None and self._template.reads_observation
        observed = _numbers_in(self._env.observation_space, self._seen.observation) if reads else ()
        return StepNumbers(self._step, action, self._reward, self._return, observed)

    def _template_of(self, transcript: str) -> Template:
        """The template, which fits this environment."""
        acted = len(_names_in(self._env.action_space, self._name))
        template = Template(self._all_numbers(self._observed(), acted) if transcript == NUMBERS else transcript)
        template.check_fits(self._name, len(self._observed()) if template.reads_observation else 0, acted)
        return template

    def _observed(self) -> list[str]:
        """A name for each observed number; none for images."""
        return [] if self.observation_spec.kind == "image" else _names_in(self._env.observation_space, self._name)

    def _all_numbers(self, observed: Sequence[str], acted: int) -> str:
        """A template that says everything."""
        if not observed:
            raise ConfigError(
                f"transcript: the observations of {self._name} are images, and 'numbers' has none to write; use a template such "
                "as 'step {step}: action {action}, reward {reward}', or leave transcript out to show pictures"
            )
        if len(observed) + acted > MAX_NUMBERS:
            raise ConfigError(
                f"transcript: {self._name} has {len(observed)} observed numbers and {acted} of the action, and 'numbers' writes "
                f"up to {MAX_NUMBERS}; choose some in a template such as 'step {{step}}: height {{obs[0]:.2f}}'"
            )
        names: Sequence[str] = _CLASSIC.get(type(self._env.unwrapped).__name__, ()) if self._is_classic() else ()
        names = names if len(names) == len(observed) else observed
        single = "state" if len(observed) == 1 else ""
        parts = [f"{escaped(name) or single or f'obs[{at}]'} {{obs[{at}]}}" for at, name in enumerate(names)]
        parts.append(f"action {' '.join(f'{{action[{at}]}}' for at in range(acted))}")
        return f"step {{step}}: {', '.join(parts)}, reward {{reward}}"

    def _is_classic(self) -> bool:
        task = type(self._env.unwrapped)
        return task.__module__.startswith("gymnasium.envs.classic_control.") and only_watched(self._seen.env)


class _Seen(gym.Wrapper):
    """Keeps what the environment was given and gave: the last action, None before an episode's first, and observation."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.action: Any = None
        self.observation: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        result = self.env.reset(seed=seed, options=options)
        self.action, self.observation = None, result[0]
        return result

    def step(self, action: Any) -> Any:
        self.action = action
        result = self.env.step(action)
        self.observation = result[0]
        return result


def _names_in(space: gym.Space, env: str, name: str = "") -> list[str]:
    """A name for each number of a space, in the order of `_numbers_in`; '' where nothing names it.

    Raises:
        ConfigError: something in it is no number.
    """
    if isinstance(space, gym.spaces.Dict):
        return [each for key, part in space.spaces.items() for each in _names_in(part, env, f"{name} {_word(key)}".strip())]
    if isinstance(space, gym.spaces.Tuple):
        return [each for part in space.spaces for each in _names_in(part, env, name)]
    if isinstance(space, gym.spaces.Discrete):
        return [name]
    if isinstance(space, (gym.spaces.Box, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)):
        count = int(np.prod(space.shape))
        return [f"{name}[{at}]" if name and count > 1 else name for at in range(count)]
    raise ConfigError(
        f"transcript: {env} observes {str(space)[:100]}, which is no number; use 'ansi' if it has text of its own, or leave "
        "transcript out to show pictures"
    )


def _numbers_in(space: gym.Space, value: Any) -> tuple[float, ...]:
    """The numbers of a value of a space: whole ones as int."""
    if isinstance(space, gym.spaces.Dict):
        return tuple(number for key, part in space.spaces.items() for number in _numbers_in(part, value[key]))
    if isinstance(space, gym.spaces.Tuple):
        return tuple(number for part, each in zip(space.spaces, value, strict=True) for number in _numbers_in(part, each))
    return tuple(np.asarray(value).ravel().tolist())


def _word(key: Any) -> str:
    """A key of an observation as a name: keys are the environment's own."""
    return "".join(letter for letter in str(key)[:40] if letter.isprintable())
