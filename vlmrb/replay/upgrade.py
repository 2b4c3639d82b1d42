"""Replay buffers of version 0.1, which stored n-step returns, as one-step transitions with episodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.errors import CheckpointError


def one_step_state(state: dict[str, Any], capacity: int, n_envs: int, n_step: int, gamma: float) -> dict[str, Any]:
    """The state of a `ReplayBuffer` from one of version 0.1.

    There an item held its k-step return, γ^k and the observation k steps later. From the newest item back, the one-step
    reward is what is left of a return when the rewards of its later steps, known by then, are taken off; rounding errors are
    those of float32. An episode ends where k < n, unless its environment has not gone further.

    Raises:
        CheckpointError: γ is 1 and n above 1, so that γ^k does not tell how many steps a return has.
    """
    if gamma == 1.0 and n_step > 1:
        raise CheckpointError(
            f"its replay buffer holds {n_step}-step returns without discount, as version 0.1 stored them, which cannot be "
            "taken apart; start a new run"
        )
    discounts, returns = np.asarray(state["discounts"], np.float64), np.asarray(state["rewards"], np.float64)
    size, newest = len(discounts), int(state["next_item_id"]) - 1
    known = n_step > 1 and gamma > 0.0  # with γ = 0 nothing after the first step counts
    counts = np.rint(np.log(discounts) / np.log(gamma)).astype(np.int64) if known else np.ones(size, np.int64)
    slots = np.array([(newest - age) % capacity for age in range(size)])  # from the newest item back
    rewards, terminated = returns.copy(), np.asarray(state["terminated"], np.float32).copy()
    following = np.array(state["next_observations"], copy=True)
    for age, slot in enumerate(slots):
        if counts[slot] > 1:
            later = slots[age - n_envs * np.arange(1, counts[slot])]
            rewards[slot] -= (gamma ** np.arange(1, counts[slot]) * rewards[later]).sum()
            terminated[slot], following[slot] = 0.0, state["observations"][later[0]]
    episodes, steps = np.zeros(size, np.int64), np.zeros(size, np.int64)
    number, current, length = 0, np.full(n_envs, -1), np.zeros(n_envs, np.int64)
    for age in range(size - 1, -1, -1):  # from the oldest item on
        slot, env = slots[age], (newest - age) % n_envs
        if current[env] < 0:
            current[env], length[env], number = number, 0, number + 1
        episodes[slot], steps[slot] = current[env], length[env]
        length[env] += 1
        if known and counts[slot] == 1 and age >= n_envs:  # with returns of one step nothing tells where episodes end
            current[env] = -1
    if known:
        current[np.asarray(state["open"]) == 0] = -1  # nothing of theirs grows any more: the newest step was an episode's last
    unset = current < 0
    current[unset] = np.arange(number, number + unset.sum())
    length[unset] = 0
    kept = {name: value for name, value in state.items() if name not in ("discounts", "open")}
    return kept | {
        "rewards": rewards.astype(np.float32),
        "terminated": terminated,
        "next_observations": following,
        "episodes": episodes,
        "steps": steps,
        "open_episodes": current,
        "open_steps": length,
        "next_episode": number + int(unset.sum()),
    }
