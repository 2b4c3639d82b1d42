"""Environments with text of their own or none at all; ids such as 'tests.text_environments:Screen-v0'."""

from __future__ import annotations

import io
from typing import Any

import gymnasium as gym
import numpy as np

LENGTH = 6


class Screen(gym.Env):
    """Six steps; its only render mode is text, in which the agent's place is highlighted.

    Args:
        says: what `render` returns for the text of a step.
        modes: its render modes.
    """

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012
    observation_space: gym.Space = gym.spaces.Discrete(LENGTH + 1)
    action_space: gym.Space = gym.spaces.Discrete(2, start=5)

    def __init__(self, render_mode: str | None = None, says: Any = str) -> None:
        self.render_mode, self._says, self._place = render_mode, says, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._place = 0
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        self._place += 1
        ended = self._place >= LENGTH
        return self._observation(), float(ended), ended, False, {"is_success": ended}

    def render(self) -> Any:
        cells = [f"\x1b[7m{at}\x1b[0m" if at == self._place else "." for at in range(LENGTH + 1)]
        return self._says("".join(cells) + "\r\n")

    def _observation(self) -> Any:
        return self._place


class Numbers(Screen):
    """Cannot render anything; its observations have names."""

    metadata = {"render_modes": []}  # noqa: RUF012
    observation_space = gym.spaces.Dict(
        speed=gym.spaces.Box(-9, 9, (2,), np.float64),
        fuel=gym.spaces.Discrete(9),
        inner=gym.spaces.Dict(on=gym.spaces.Discrete(2)),
    )
    action_space = gym.spaces.Box(-2, 2, (2,), np.float32)

    def render(self) -> Any:
        raise RuntimeError("nothing to see")

    def _observation(self) -> Any:
        return {"speed": np.array([self._place / 4, -1.0]), "fuel": 8 - self._place, "inner": {"on": self._place % 2}}


class Words(Numbers):
    """Observes words."""

    observation_space = gym.spaces.Text(9)

    def _observation(self) -> Any:
        return "word"


class Picture(Numbers):
    """Observes images."""

    observation_space = gym.spaces.Box(0, 255, (40, 40, 3), np.uint8)

    def _observation(self) -> Any:
        return np.full((40, 40, 3), self._place, np.uint8)


def _forever(text: str) -> str:
    return text + "é" * 50_000


for name, says in {"Screen": str, "File": io.StringIO, "Bytes": str.encode, "Long": _forever, "Empty": lambda text: ""}.items():
    gym.register(f"{name}-v0", entry_point=Screen, kwargs={"says": says})
for kind in (Numbers, Words, Picture):
    gym.register(f"{kind.__name__}-v0", entry_point=kind)


def env_id(name: str) -> str:
    """The id to give to `--env`."""
    return f"{__name__}:{name}-v0"
