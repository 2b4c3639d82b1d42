"""The replay buffer: a ring of one-step transitions with permanent item ids, their episodes, and n-step returns on demand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vlmrb.replay.hindsight import Held, Hindsight
from vlmrb.replay.memory import aligned_zeros
from vlmrb.replay.sampling import FEEDBACK, Added, Parts, Sampler, check_finite, ones
from vlmrb.replay.upgrade import one_step_state
from vlmrb.replay.words import HindsightInWords
from vlmrb.types import ActionSpec, Batch, Feedback, ObservationSpec, Transition

ADDED_AT_ONCE = 4_096
"""Items that `add_to_sampler` gives a sampler at a time."""

SAMPLER_BYTES = 64
"""What a sampler takes per item, and the buffer besides the transition itself, roughly."""

ACHIEVED_GOALS = "achieved_goals"
"""Name of the achieved goals in the buffer's state, which only a task with goals has."""

_IN_WORDS = "in_words."  # before the names of what hindsight in words saves

_STORED = ("actions", "observations", "terminated", "rewards", "episodes", "next_observations")


class ReplayBuffer:
    """Keeps the newest `capacity` transitions of E parallel environments, one step each, with the episode of every item.

    The n-step return of an item is formed when it is drawn: k ≤ n steps, k < n only where its episode ends or its
    environment has not gone further. Items of an episode are E ids apart, so the item of step s of the episode that item i
    is step t of has the id i + (s − t)·E.

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
        hindsight: replaces goals or missions in drawn batches, if the task has any; None to draw what is stored.
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
        hindsight: Hindsight | HindsightInWords | None = None,
    ) -> None:
        from vlmrb.replay import kernels

        assert capacity >= n_envs * n_step, (capacity, n_envs, n_step)
        self._kernels = kernels
        self.capacity, self.sampler, self._rng = capacity, sampler, rng
        self._n_envs, self._n_step, self._gamma = n_envs, n_step, gamma
        self._powers = np.array([gamma**k for k in range(n_step + 1)], np.float32)
        self.next_item_id = 0
        record = _record(action_dtype, action_shape, spec)
        self._items = aligned_zeros((capacity,), record)
        self._words = self._items.view(np.uint32).reshape(capacity, -1)
        assert record.fields is not None
        self._boundary, self._terminated_at = record.fields["next_observations"][1] // 4, record.fields["terminated"][1]
        self._item_steps = np.zeros(capacity, np.int32)  # number of the step in its episode
        self._achieved = np.zeros((capacity, spec.goal), np.float32)  # goals that the steps reached; apart, as few draws ask
        self._hindsight = hindsight
        self.in_words = hindsight if isinstance(hindsight, HindsightInWords) else None
        self._episodes = np.arange(n_envs)  # int64 [E], the episode that each environment is in
        self._steps = np.zeros(n_envs, np.int64)  # int64 [E], steps of it so far
        self._next_episode = n_envs

    @property
    def _has_goals(self) -> bool:
        return self._achieved.shape[1] > 0

    def __len__(self) -> int:
        return min(self.next_item_id, self.capacity)

    def add(self, transition: Transition, missions: Sequence[str] = ()) -> np.ndarray:
        """Store one step of all environments and return its item ids, int64 [E].

        Args:
            transition: the step.
            missions: what each environment's episode is about [E]; read by hindsight in words.
        """
        item_ids = np.arange(self.next_item_id, self.next_item_id + self._n_envs)
        slots = item_ids % self.capacity
        items = self._items
        items["observations"][slots] = transition.observation
        items["actions"][slots] = transition.action
        items["rewards"][slots] = transition.reward
        items["next_observations"][slots] = transition.next_observation
        items["terminated"][slots] = transition.terminated
        items["episodes"][slots] = self._episodes
        self._item_steps[slots] = self._steps
        if self._has_goals:
            self._achieved[slots] = transition.achieved_goal
        if self.in_words is not None:
            self.in_words.added(slots, missions, transition.observation)
        self.next_item_id += self._n_envs
        ended = transition.terminated | transition.truncated
        if hasattr(self.sampler, "add"):
            added = Added(item_ids, self._episodes, self._steps, ended, transition.observation, self._n_envs)
            self.sampler.add(slots, added)
        self._steps = self._steps + 1
        if ended.any():
            self._begin_episodes(np.flatnonzero(ended))
        return item_ids

    def _begin_episodes(self, envs: np.ndarray) -> None:
        self._episodes = self._episodes.copy()
        self._episodes[envs] = np.arange(self._next_episode, self._next_episode + len(envs))
        self._steps[envs] = 0
        self._next_episode += len(envs)

    def cut_episodes(self) -> None:
        """A new episode begins in every environment: no stored return grows any further (used when a run is resumed)."""
        self._begin_episodes(np.arange(self._n_envs))

    def add_to_sampler(self) -> None:
        """Give a sampler that is new all items that are held, in the order in which they came."""
        if not hasattr(self.sampler, "add"):
            return
        oldest = self.next_item_id - len(self)
        for first in range(oldest, self.next_item_id, ADDED_AT_ONCE):
            item_ids = np.arange(first, min(first + ADDED_AT_ONCE, self.next_item_id))
            slots, following = item_ids % self.capacity, item_ids + self._n_envs
            episodes = self._items["episodes"][slots].astype(np.int64)
            ahead = self._items["episodes"][following % self.capacity]
            goes_on = np.where(following < self.next_item_id, ahead, self._episodes[item_ids % self._n_envs]) == episodes
            steps, observations = self._item_steps[slots].astype(np.int64), self._items["observations"][slots]
            self.sampler.add(slots, Added(item_ids, episodes, steps, ~goes_on, observations, self._n_envs))

    def sample(self, batch_size: int, score: Callable[[Batch], np.ndarray] | None = None) -> Batch:
        """Draw a batch with the sampler's distribution; the buffer must not be empty.

        With hindsight, some of its items have other goals or missions than those that are stored. A sampler looks at items as
        stored.

        Args:
            score: gives the TD errors (float32 [N]) of a batch, for samplers that look at items before they choose.

        Raises:
            DivergedError: a TD error is NaN or infinite.
            EnvironmentFailedError: the environment's own code cannot judge a new goal.
        """

        def score_slots(slots: np.ndarray) -> np.ndarray:
            assert score is not None, "this replay method scores candidates: give sample a score"
            return check_finite(score(self._batch(slots, np.full(len(slots), np.nan), ones(len(slots)))), "a TD error")

        drawn = self.sampler.sample(batch_size, len(self), self._rng, score_slots)
        batch = self._batch(*drawn)
        if self._hindsight is not None:
            held = Held(
                self._words,
                self._boundary,
                self._item_steps,
                self._achieved,
                self._items["next_observations"],
                self.next_item_id,
                self._n_envs,
                self._powers,
            )
            self._hindsight.relabel(batch, drawn[0], held, self._rng)
        return batch

    @property
    def relabelled(self) -> np.ndarray | None:
        """Which items of the last batch got another goal or mission in hindsight, bool [B]; None without hindsight."""
        return None if self._hindsight is None else self._hindsight.relabelled

    def accomplish(self, item_id: int, mission: str) -> None:
        """This item's step has accomplished a mission, for hindsight in words; an item that is overwritten is passed over."""
        if self.in_words is not None and self.holds(np.array([item_id]))[0]:
            self.in_words.accomplish(item_id % self.capacity, mission)

    def look_up(self, item_ids: np.ndarray) -> tuple[Batch, Parts]:
        """Items that the buffer holds (int64 [N]) as a batch with weights 1, and the chances of one draw to choose each."""
        slots = item_ids % self.capacity
        if hasattr(self.sampler, "parts"):
            parts = self.sampler.parts(slots, len(self))
        else:
            parts = Parts(None, np.zeros(len(slots)), self.sampler.chances(slots, len(self)))
        return self._batch(slots, parts.vlm + parts.other, ones(len(slots))), parts

    def _batch(self, slots: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> Batch:
        taken, (returns, terminated, discounts), item_ids = self._kernels.n_step_transitions(
            self._words, slots, self.next_item_id, self._n_envs, self._powers, self._boundary, self._terminated_at
        )
        items = taken.view(self._items.dtype).reshape(-1)
        return Batch(
            observations=items["observations"],
            actions=items["actions"],
            rewards=returns,
            next_observations=items["next_observations"],
            terminated=terminated,
            discounts=discounts,
            item_ids=item_ids,
            probabilities=probabilities,
            weights=weights,
        )

    def update_priorities(self, item_ids: np.ndarray, feedback: Feedback) -> None:
        """Give the sampler what the agent found out about items (int64 [N]); those overwritten meanwhile are passed over.

        Raises:
            DivergedError: some of it is NaN or infinite; the sampler has got none of it.
        """
        if not hasattr(self.sampler, "feedback"):
            return
        for name, values in zip(FEEDBACK, feedback, strict=True):
            if values is not None:
                check_finite(values, f"one of the {name.replace('_', ' ').replace('td', 'TD')}")
        if item_ids.min(initial=self.next_item_id) < self.next_item_id - self.capacity:  # seldom: worth a look of its own
            held = self.holds(item_ids)
            item_ids = item_ids[held]
            feedback = Feedback(*(None if values is None else values[held] for values in feedback))  # type: ignore[arg-type]
        if len(item_ids):
            self.sampler.feedback(item_ids % self.capacity, feedback)

    def apply_label(self, item_ids: np.ndarray, priorities: np.ndarray) -> int:
        """Give the items of a clip (int64 [T]) the priorities that its labels lead to.

        Args:
            priorities: float64 [K] in [0, 1], one per stratum.

        Returns:
            How many of the items were overwritten (stale).
        """
        held = self.holds(item_ids)
        if held.any() and hasattr(self.sampler, "label"):
            self.sampler.label(item_ids[held] % self.capacity, priorities)
        return int(len(item_ids) - held.sum())

    def holds(self, item_ids: np.ndarray) -> np.ndarray:
        """Which of the items (int64 [N]) are still there, bool [N]."""
        return (item_ids >= self.next_item_id - self.capacity) & (item_ids < self.next_item_id)

    def state_dict(self) -> dict[str, Any]:
        """Arrays of what is stored, counters and the sampler's state (prefixed 'sampler.'). The arrays are views."""
        size = len(self)
        state: dict[str, Any] = {name: self._items[name][:size] for name in _STORED}
        state |= {"steps": self._item_steps[:size], "next_item_id": self.next_item_id, "next_episode": self._next_episode}
        state |= {"open_episodes": self._episodes, "open_steps": self._steps}
        state |= {ACHIEVED_GOALS: self._achieved[:size]} if self._has_goals else {}
        if self.in_words is not None:
            state |= {f"{_IN_WORDS}{name}": value for name, value in self.in_words.state_dict(size).items()}
        if hasattr(self.sampler, "state_dict"):
            for name, value in self.sampler.state_dict().items():
                state[f"sampler.{name}"] = value[:size] if isinstance(value, np.ndarray) else value
        return state

    def load_state_dict(self, state: dict[str, Any], *, sampler: bool = True) -> None:
        """Restore what `state_dict` gave, also that of version 0.1; `sampler`: with the sampler's state."""
        if "episodes" not in state:
            state = one_step_state(state, self.capacity, self._n_envs, self._n_step, self._gamma)
        self.next_item_id, self._next_episode = int(state["next_item_id"]), int(state["next_episode"])
        self._episodes = np.array(state["open_episodes"], np.int64)
        self._steps = np.array(state["open_steps"], np.int64)
        for name in _STORED:
            self._items[name][: len(self)] = state[name]
        self._item_steps[: len(self)] = state["steps"]
        if self._has_goals:
            self._achieved[: len(self)] = state[ACHIEVED_GOALS]
        if self.in_words is not None:
            self.in_words.load_state_dict(_prefixed(state, _IN_WORDS))
        if sampler and hasattr(self.sampler, "load_state_dict"):
            self.sampler.load_state_dict(_prefixed(state, "sampler."))


def _prefixed(state: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def bytes_per_item(observations: ObservationSpec, actions: ActionSpec) -> int:
    """What one transition takes in memory, with what a sampler knows of it."""
    goals = observations.goal * np.dtype(np.float32).itemsize
    return _record(actions.dtype, actions.shape, observations).itemsize + goals + SAMPLER_BYTES


def _record(action_dtype: str, action_shape: tuple[int, ...], spec: ObservationSpec) -> np.dtype[Any]:
    """An item as one record, so that drawing it costs few trips to memory.

    What the later steps of an n-step return are read for, reward, episode and next observation, lies side by side.
    """
    fields: list[tuple[str, str, tuple[int, ...]]] = [
        ("actions", action_dtype, action_shape),
        ("observations", spec.dtype, spec.shape),
        ("terminated", "bool", ()),
        ("rewards", "float32", ()),
        ("episodes", "int32", ()),
        ("next_observations", spec.dtype, spec.shape),
    ]
    return np.dtype(fields, align=True)
