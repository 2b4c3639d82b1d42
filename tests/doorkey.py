"""DoorKey clips recorded by a scripted agent that solves the task, partly acting at random."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from minigrid.core.world_object import Door, Goal, Key

from vlmrb.clips import ClipRecorder
from vlmrb.config import make_config
from vlmrb.envs import VectorEnv, make_env
from vlmrb.envs.minigrid import MiniGridEnvironment
from vlmrb.types import Clip

LEFT, RIGHT, FORWARD, PICK_UP, TOGGLE = 0, 1, 2, 3, 5
AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))


def scripted_action(environment: MiniGridEnvironment) -> int:
    """The next action of the solution: go to the key, take it, go to the door, open it, go to the goal."""
    env = environment._grid_env
    if env.carrying is None:
        kind, act = Key, PICK_UP
    elif any(isinstance(thing, Door) and not thing.is_open for thing in env.grid.grid):
        kind, act = Door, TOGGLE
    else:
        kind, act = Goal, FORWARD
    return _first_step(env, kind, act)


def _first_step(env, kind: type, act: int) -> int:
    """Breadth-first search over (x, y, direction) for a pose that faces an object of this kind; there, `act`."""
    start = (*(int(at) for at in env.agent_pos), int(env.agent_dir))
    first: dict[tuple[int, int, int], int | None] = {start: None}
    queue = deque([start])
    while queue:
        x, y, direction = state = queue.popleft()
        step_x, step_y = AHEAD[direction]
        ahead = env.grid.get(x + step_x, y + step_y)
        if isinstance(ahead, kind):
            return act if first[state] is None else first[state]
        steps = [(LEFT, (x, y, (direction - 1) % 4)), (RIGHT, (x, y, (direction + 1) % 4))]
        if ahead is None or (isinstance(ahead, Door) and ahead.is_open):
            steps.append((FORWARD, (x + step_x, y + step_y, direction)))
        for action, reached in steps:
            if reached not in first:
                first[reached] = action if first[state] is None else first[state]
                queue.append(reached)
    return FORWARD  # the way is blocked, for instance by a dropped key


def record_clips(
    env_id: str, clips: int, chance: Callable[[int], float], rng: np.random.Generator, length: int = 32
) -> list[Clip]:
    """Clips of run 0, from an agent that acts at random with probability `chance(episode number)`."""
    environment = make_env(make_config(env=env_id, replay="uniform"))
    assert isinstance(environment, MiniGridEnvironment)
    vector = VectorEnv([environment], lambda: int(rng.integers(2**30)))
    vector.reset()
    recorder = ClipRecorder(1, length, run_id=0)
    found: list[Clip] = []
    step = 0
    while len(found) < clips:
        at_random = rng.random() < chance(recorder.episodes[0])
        action = int(rng.integers(environment.action_spec.n)) if at_random else scripted_action(environment)
        seen = vector.step(np.array([action]))
        transition = seen.transition
        found += recorder.add(
            np.array([step]), seen.snapshots, transition.reward, seen.events, transition.terminated, transition.truncated
        )
        step += 1
    vector.close()
    return found[:clips]
