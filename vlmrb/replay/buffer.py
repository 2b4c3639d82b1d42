"""The replay buffer: a ring of transitions with permanent item ids and n-step returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlmrb.replay.memory import aligned_zeros, take_rows
from vlmrb.replay.samplers import Chances, Sampler
from vlmrb.types import Batch, ObservationSpec, Transition


class ReplayBuffer:
    """Keeps the newest `capacity` transitions of E parallel environments.

    An item enters with its one-step return at once and grows in place to n steps while its episode goes on, so every
    item is valid at any time: k ≤ n steps, k < n only near the end of an episode or the head of the buffer.

    Args:
        capacity: transitions kept, at least n_envs · n_step.
        spec: shape and dtype of observations.
        sampler: how batches are chosen; made for the same capacity.
        rng: the only source of randomness.
        n_envs: E.
        n_step: n.
        gamma: discount per step.
        action_shape: () for discrete actions.
        action_dtype: 'int64' for discrete actions.
    """

    def __init__(
        self,
        capacity: int,
        spec: ObservationSpec,
        sampler: Sampler,
        rng: np.random.Generator,
        *,
        n_envs: int = 1,
        n_step: int = 1,
        gamma: float = 0.99,
        action_shape: tuple[int, ...] = (),
        action_dtype: str = "int64",
    ) -> None:
        assert capacity >= n_envs * n_step, (capacity, n_envs, n_step)
        self.capacity, self.sampler, self._rng = capacity, sampler, rng
        self._n_envs, self._n_step, self._gamma = n_envs, n_step, gamma
        self.next_item_id = 0
        # an item is one record, so that drawing it costs a single trip to memory
        fields: list[tuple[str, str, tuple[int, ...]]] = [
            ("actions", action_dtype, action_shape),
            ("rewards", "float32", ()),
            ("terminated", "float32", ()),
            ("discounts", "float32", ()),
            ("observations", spec.dtype, spec.shape),
            ("next_observations", spec.dtype, spec.shape),
        ]
        self._names = tuple(name for name, *_ in fields)
        self._items = aligned_zeros((capacity,), np.dtype(fields, align=True))
        self._open = np.zeros(n_envs, np.int64)  # per environment: items behind the head that still grow

    def __len__(self) -> int:
        return min(self.next_item_id, self.capacity)

    def add(self, transition: Transition) -> np.ndarray:
        """Store one step of all environments and return its item ids, int64 [E]."""
        data = self._items
        item_ids = np.arange(self.next_item_id, self.next_item_id + self._n_envs)
        slots = item_ids % self.capacity
        data["observations"][slots] = transition.observation
        data["actions"][slots] = transition.action
        data["rewards"][slots] = transition.reward
        data["next_observations"][slots] = transition.next_observation
        data["terminated"][slots] = transition.terminated
        data["discounts"][slots] = self._gamma
        self.next_item_id += self._n_envs
        self.sampler.add(slots)
        self._grow_returns(item_ids, transition)
        return item_ids

    def _grow_returns(self, item_ids: np.ndarray, transition: Transition) -> None:
        data = self._items
        for k in range(1, self._n_step):
            growing = self._open >= k
            if not growing.any():
                break
            slots = (item_ids[growing] - k * self._n_envs) % self.capacity
            data["rewards"][slots] += self._gamma**k * transition.reward[growing]
            data["next_observations"][slots] = transition.next_observation[growing]
            data["terminated"][slots] = transition.terminated[growing]
            data["discounts"][slots] = self._gamma ** (k + 1)
        ended = transition.terminated | transition.truncated
        self._open = np.where(ended, 0, np.minimum(self._open + 1, self._n_step - 1))

    def cut_episodes(self) -> None:
        """All environments start a new episode: no stored return grows any further (used when a run is resumed)."""
        self._open[:] = 0

    def sample(self, batch_size: int) -> Batch:
        """Draw a batch with the sampler's distribution; the buffer must not be empty."""
        slots, probabilities, weights = self.sampler.sample(batch_size, len(self), self._rng)
        return self._batch(slots, probabilities, weights)

    def look_up(self, item_ids: np.ndarray) -> tuple[Batch, Chances]:
        """Items that the buffer holds (int64 [N]) as a batch with weights 1, and the chances of one draw to choose each."""
        slots = item_ids % self.capacity
        chances = self.sampler.chances(slots, len(self))
        return self._batch(slots, chances.vlm + chances.other, np.ones(len(slots), np.float32)), chances

    def _batch(self, slots: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> Batch:
        items = take_rows(self._items, slots)
        return Batch(
            observations=items["observations"],
            actions=items["actions"],
            rewards=items["rewards"],
            next_observations=items["next_observations"],
            terminated=items["terminated"],
            discounts=items["discounts"],
            item_ids=self._item_ids(slots),
            probabilities=probabilities,
            weights=weights,
        )

    def update_priorities(self, item_ids: np.ndarray, td_errors: np.ndarray) -> None:
        """Give the sampler the TD errors (float32 [N]) of items; those overwritten meanwhile are passed over."""
        held = self.holds(item_ids)
        if not held.all():
            item_ids, td_errors = item_ids[held], td_errors[held]
        if len(item_ids):
            self.sampler.update_priorities(item_ids % self.capacity, td_errors)

    def apply_score(self, item_ids: np.ndarray, priority: float) -> int:
        """Give the items of a clip their VLM priority (≥ 0); return how many were overwritten meanwhile (stale)."""
        held = self.holds(item_ids)
        if held.any():
            self.sampler.set_vlm_priorities(item_ids[held] % self.capacity, priority)
        return int(len(item_ids) - held.sum())

    def holds(self, item_ids: np.ndarray) -> np.ndarray:
        """Which of the items (int64 [N]) are still there, bool [N]."""
        return (item_ids >= self.next_item_id - self.capacity) & (item_ids < self.next_item_id)

    def _item_ids(self, slots: np.ndarray) -> np.ndarray:
        newest = self.next_item_id - 1
        return newest - (newest - slots) % self.capacity

    def state_dict(self) -> dict[str, Any]:
        """Arrays of what is stored, counters and the sampler's state (prefixed 'sampler.'). The arrays are views."""
        size = len(self)
        state: dict[str, Any] = {name: self._items[name][:size] for name in self._names}
        state.update({"next_item_id": self.next_item_id, "open": self._open})
        for name, value in self.sampler.state_dict().items():
            state[f"sampler.{name}"] = value[:size] if isinstance(value, np.ndarray) else value
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.next_item_id = int(state["next_item_id"])
        self._open = np.asarray(state["open"], np.int64).copy()
        for name in self._names:
            self._items[name][: len(self)] = state[name]
        prefix = "sampler."
        self.sampler.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
