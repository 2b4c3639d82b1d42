"""What an episode is about, in words: what `{mission}` and `{goal}` in a prompt stand for."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

LONGEST = 500
"""Characters of a mission that are kept."""

_DRAWER_SIDE, _DRAWER_TOP = -0.25, 0.05  # metres: a goal beyond and above these lies in the drawer
_AT_ITS_PLACE = 0.03  # metres


def mission_of(env: gym.Env) -> str:
    """The mission of the present episode: the environment's own text, or what its function `mission` returns; '' without one.

    MiniGrid and BabyAI have one; an environment of one's own has one if it, or a wrapper around it, has an attribute `mission`.
    """
    try:
        found = env.get_wrapper_attr("mission")
    except AttributeError:
        return ""
    found = found() if callable(found) else found
    return " ".join(found.split())[:LONGEST] if isinstance(found, str) else ""


def task_in_words(scene: Any) -> str:
    """The task of an OGBench manipulation environment: what has to change between its beginning and its goal."""
    info = scene.unwrapped.cur_task_info
    begin = info.get("init", {name.removeprefix("init_"): value for name, value in info.items()})
    goal = info.get("goal", {name.removeprefix("goal_"): value for name, value in info.items()})
    to_do = []
    for name in ("drawer", "window"):
        place = f"{name}_pos"
        if place in goal and goal[place] != begin[place]:
            to_do.append(f"{'open' if abs(goal[place]) > abs(begin[place]) else 'close'} the {name}")
    if "button_states" in goal and (presses := int(np.sum(np.asarray(goal["button_states"]) != begin["button_states"]))):
        to_do.append("press a button" if presses == 1 else f"switch {presses} buttons")
    places = next((name for name in ("block_xyzs", "xyzs") if name in goal), None)
    if places is not None:
        ends = np.asarray(goal[places])
        moved = np.linalg.norm(ends - begin[places], axis=1) > _AT_ITS_PLACE
        cubes = "the cube" if len(ends) == 1 else f"{moved.sum()} cubes" if moved.sum() > 1 else "one cube"
        inside = "drawer_pos" in goal and bool(((ends[moved, 1] < _DRAWER_SIDE) & (ends[moved, 2] > _DRAWER_TOP)).all())
        where = "into the drawer" if inside else "at the marked place" + ("s" if moved.sum() > 1 else "")
        to_do += [f"put {cubes} {where}"] if moved.any() else []
    return " and ".join(filter(None, [", ".join(to_do[:-1]), *to_do[-1:]]))
