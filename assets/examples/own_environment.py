"""An environment of your own: a corridor with a lamp, which the agent has to walk to.

Run it from this folder, so that Python finds the module:

    cd assets/examples
    python -m vlmrb train --env own_environment:Corridor-v0 --scorer reward --clip-length 4 --total-steps 10000

The success rate is at or near 100 % at the end. Then look at what the agent did:

    python -m vlmrb clips 1 --label yes --limit 5

The engine asks three things of a Gymnasium environment: a `Discrete` or `Box` action space, an observation that is a vector, an
image or can be flattened into a vector, and frames for the scorer, that is `render_mode="rgb_array"`. Actions of a `Box` need
`--algo sac` or `td3`. The embedded models know no such pictures: `reward` labels a clip yes where it holds a positive reward, and
`hf:` or `openai:` ask a model that knows more.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

CELLS, CELL_PIXELS = 15, 16


class Corridor(gym.Env):
    """One row of cells. Action 0 goes left, action 1 goes right; the lamp gives a reward of 1 and ends the episode."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  Gymnasium declares it like this
    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Box(0.0, 1.0, (2,), np.float32)  # where the agent is, where the lamp is

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._agent = self._lamp = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Put agent and lamp into two different cells; the same seed gives the same two."""
        super().reset(seed=seed)
        self._agent, self._lamp = (int(cell) for cell in self.np_random.choice(CELLS, 2, replace=False))
        return self._observation(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move. `is_success`, at the last step of an episode, is what the success rate is counted by."""
        self._agent = int(np.clip(self._agent + (1 if action == 1 else -1), 0, CELLS - 1))
        at_lamp = self._agent == self._lamp
        return self._observation(), float(at_lamp), at_lamp, False, {"is_success": at_lamp}

    def render(self) -> np.ndarray:
        """The corridor as a picture, uint8 [H, W, 3]: the lamp yellow, the agent red."""
        cells = np.full((1, CELLS, 3), 40, np.uint8)
        cells[0, self._lamp] = (250, 210, 60)
        cells[0, self._agent] = (220, 60, 60)
        return cells.repeat(CELL_PIXELS, axis=0).repeat(CELL_PIXELS, axis=1)

    def _observation(self) -> np.ndarray:
        return np.array([self._agent, self._lamp], np.float32) / (CELLS - 1)


gym.register("Corridor-v0", entry_point=Corridor, max_episode_steps=60)
