"""Hindsight: goals that the item's own episode achieved, rewards and returns for them, exact repeats, and nothing when off."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmrb.replay import Hindsight, ReplayBuffer
from vlmrb.replay.hindsight import STRATEGIES, Relabelling
from vlmrb.replay.methods.laber import LargeBatchSampler
from vlmrb.replay.methods.per import PrioritizedSampler
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.types import Batch, Judged, ObservationSpec, Transition

SPEC = ObservationSpec("vector", (3,), "float32", goal=2)
GAMMA = 0.9


class Judge:
    """A step that achieves the goal earns 10, any other −1; it remembers how many it was asked about at a time."""

    def __init__(self, ends: bool) -> None:
        self.ends, self.asked = ends, list[int]()

    def __call__(self, achieved: np.ndarray, desired: np.ndarray) -> Judged:
        self.asked.append(len(achieved))
        there = (achieved == desired).all(axis=1)
        return Judged(np.where(there, 10.0, -1.0).astype(np.float32), there if self.ends else None)


class Past:
    """Everything that was added, as lists: the items of each episode, and what each item was."""

    def __init__(self, n_envs: int) -> None:
        self.n_envs = n_envs
        self.items: list[dict[str, Any]] = []
        self._episodes, self._count = list(range(n_envs)), n_envs

    def fill(self, buffer: ReplayBuffer, steps: int, random: Random, cut: float = 0.0, places: int = 4) -> None:
        """Item i observes [i], is to reach [−1, −1], and achieves one of `places` places, so that some are reached twice."""
        for _ in range(steps):
            first = len(self.items)
            ids = np.arange(first, first + self.n_envs, dtype=np.float32)
            own = np.full((self.n_envs, 2), -1, np.float32)
            achieved = np.array([[random.randrange(places), 7] for _ in ids], np.float32)
            reward = np.array([random.choice([0.0, -3.0]) for _ in ids], np.float32)
            terminated, truncated = (np.array([random.random() < p for _ in ids]) for p in (0.1, 0.1))
            before, after = (np.concatenate([ids[:, None] + later, own], axis=1) for later in (0.0, 0.5))
            buffer.add(Transition(before, ids.astype(np.int64), reward, after, terminated, truncated, achieved))
            begin = random.random() < cut
            if begin:
                buffer.cut_episodes()
            for env in range(self.n_envs):
                self.items.append(
                    {
                        "episode": self._episodes[env],
                        "achieved": tuple(achieved[env]),
                        "reward": float(reward[env]),
                        "terminated": float(terminated[env]),
                    }
                )
                if terminated[env] or truncated[env] or begin:
                    self._episodes[env], self._count = self._count, self._count + 1

    def episode_of(self, item: int, oldest: int = 0) -> list[int]:
        """The items of its episode from `oldest` on, in order."""
        env = range(item % self.n_envs, len(self.items), self.n_envs)
        return [i for i in env if i >= oldest and self.items[i]["episode"] == self.items[item]["episode"]]

    def window(self, item: int, n_step: int) -> list[int]:
        """The steps of its n-step return, as it was recorded."""
        return [i for i in self.episode_of(item) if i >= item][:n_step]


def made(capacity: int, n_envs: int, n_step: int, her: str, judge: Judge, seed: int = 0, sampler: Any = None) -> ReplayBuffer:
    relabelling = Relabelling.parse(her)
    return ReplayBuffer(
        capacity,
        SPEC,
        sampler or UniformSampler(),
        np.random.default_rng(seed),
        n_envs=n_envs,
        n_step=n_step,
        gamma=GAMMA,
        hindsight=Hindsight(relabelling, judge) if relabelling else None,
    )


def holds(buffer: ReplayBuffer, size: int, past: Past, n_step: int, strategy: str, ends: bool, oldest: int) -> None:
    """Assert that every row is what its item id and its goal say, by definition."""
    batch, relabelled = buffer.sample(size), buffer.relabelled
    assert relabelled is not None
    for row, item in enumerate(map(int, batch.item_ids)):
        window, goal = past.window(item, n_step), tuple(batch.observations[row, 1:])
        assert tuple(batch.next_observations[row, 1:]) == goal
        assert batch.observations[row, 0] == item
        if relabelled[row]:
            episode = past.episode_of(item, oldest)
            sources = {"future": [i for i in episode if i >= item], "final": episode[-1:], "episode": episode}[strategy]
            assert goal in {past.items[i]["achieved"] for i in sources}
            rewards = [10.0 if past.items[i]["achieved"] == goal else -1.0 for i in window]
            if ends and 10.0 in rewards:
                window = window[: rewards.index(10.0) + 1]
                terminated = 1.0
            else:
                terminated = 0.0 if ends else past.items[window[-1]]["terminated"]
        else:
            assert goal == (-1, -1)
            rewards, terminated = [past.items[i]["reward"] for i in window], past.items[window[-1]]["terminated"]
        expected = sum(GAMMA**k * rewards[k] for k in range(len(window)))
        assert batch.rewards[row] == pytest.approx(expected, abs=1e-4)
        assert batch.discounts[row] == pytest.approx(GAMMA ** len(window))
        assert batch.terminated[row] == terminated
        assert batch.next_observations[row, 0] == window[-1] + 0.5


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 60),
    st.integers(0, 40),
    st.sampled_from(STRATEGIES),
    st.booleans(),
    st.sampled_from([0.0, 0.05]),
    st.randoms(use_true_random=False),
)
def test_every_relabelled_return_is_the_one_for_its_new_goal_by_definition(
    n_envs: int, n_step: int, steps: int, spare: int, strategy: str, ends: bool, cut: float, random: Random
) -> None:
    capacity, judge, past = n_envs * n_step + spare, Judge(ends), Past(n_envs)
    buffer = made(capacity, n_envs, n_step, f"{strategy}:4", judge)
    past.fill(buffer, steps, random, cut)
    oldest = max(0, len(past.items) - capacity)
    holds(buffer, 200, past, n_step, strategy, ends, oldest)
    assert len(judge.asked) == 1, "a batch is judged in one call"
    holds(buffer, 50, past, n_step, strategy, ends, oldest)  # and what is stored is as it was


@pytest.mark.parametrize(("her", "share"), [("future:1", 1 / 2), ("final:4", 4 / 5), ("episode:16", 16 / 17)])
def test_goals_are_replaced_with_probability_k_of_k_plus_1(her: str, share: float) -> None:
    buffer, past = made(500, 2, 3, her, Judge(ends=False)), Past(2)
    past.fill(buffer, 250, Random(1))
    buffer.sample(20_000)
    found = buffer.relabelled
    assert found is not None and found.mean() == pytest.approx(share, abs=0.015)


def test_future_draws_every_step_from_the_items_own_on_equally_often_and_episode_every_one_that_is_held() -> None:
    for strategy, expected in (("future", {3, 4, 5, 6, 7}), ("episode", {1, 2, 3, 4, 5, 6, 7}), ("final", {7})):
        buffer = made(9, 1, 1, f"{strategy}:16", Judge(ends=False))
        for step in range(10):  # item 0 is overwritten, items 1 to 7 end the episode
            own = np.array([[step, -1, -1]], np.float32)
            ended = np.array([step == 7])
            achieved = np.array([[step, step]], np.float32)
            buffer.add(Transition(own, np.array([step]), np.zeros(1, np.float32), own, np.array([False]), ended, achieved))
        batch = buffer.sample(20_000)
        assert buffer.relabelled is not None
        rows = (batch.item_ids == 3) & buffer.relabelled
        drawn = Counter(batch.observations[rows, 1].astype(int).tolist())
        assert set(drawn) == expected
        assert max(drawn.values()) < 1.35 * min(drawn.values()), "each alike"


def test_the_last_item_of_an_episode_takes_what_it_achieved_itself() -> None:
    buffer, past = made(400, 1, 1, "future:16", Judge(ends=True)), Past(1)
    past.fill(buffer, 200, Random(3))
    batch = buffer.sample(2_000)
    assert buffer.relabelled is not None
    for row in np.flatnonzero(buffer.relabelled):
        item = int(batch.item_ids[row])
        if past.episode_of(item)[-1] == item:
            assert (batch.rewards[row], batch.terminated[row]) == (10.0, 1.0)


@pytest.mark.parametrize(
    "sampler",
    [
        UniformSampler,
        lambda: PrioritizedSampler(300),
        lambda: LargeBatchSampler(4),
        lambda: MixtureSampler(300, PrioritizedSampler(300), 0.5),
    ],
)
def test_without_hindsight_goals_change_no_draw(sampler: Any) -> None:
    """The buffer of a task with goals draws, bit for bit, what one that knows nothing of goals would."""
    samplers = [sampler(), sampler()]
    goals, plain = (
        ReplayBuffer(300, spec, each, np.random.default_rng(5), n_envs=2, n_step=3, gamma=GAMMA)
        for spec, each in zip((SPEC, ObservationSpec("vector", (3,), "float32")), samplers, strict=True)
    )
    for buffer in (goals, plain):
        Past(2).fill(buffer, 200, Random(4))
    for _ in range(3):
        ours, theirs = (buffer.sample(64, lambda batch: batch.rewards) for buffer in (goals, plain))
        for name, mine, other in zip(Batch._fields, ours, theirs, strict=True):
            np.testing.assert_array_equal(mine, other, err_msg=name)
    assert goals.relabelled is None


def test_a_buffer_that_was_saved_and_restored_draws_and_relabels_the_same() -> None:
    buffer, past = made(120, 2, 3, "future:4", Judge(ends=True)), Past(2)
    past.fill(buffer, 100, Random(6))
    state = {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in buffer.state_dict().items()}
    restored = made(120, 2, 3, "future:4", Judge(ends=True))
    restored.load_state_dict(state)
    restored._rng.bit_generator.state = buffer._rng.bit_generator.state
    for name, mine, other in zip(Batch._fields, buffer.sample(256), restored.sample(256), strict=True):
        np.testing.assert_array_equal(mine, other, err_msg=name)


def test_the_chances_and_weights_of_items_are_those_that_they_were_drawn_with() -> None:
    buffer, plain = (made(200, 2, 1, her, Judge(ends=True)) for her in ("future:4", "off"))
    for each in (buffer, plain):
        Past(2).fill(each, 100, Random(7))
    ours, theirs = buffer.sample(64), plain.sample(64)  # the first draws are the sampler's
    for name in ("item_ids", "actions", "probabilities", "weights"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    looked_up, _ = buffer.look_up(np.arange(150, 180))
    assert (looked_up.observations[:, 1:] == -1).all(), "items are looked up as stored"


@pytest.mark.parametrize("text", ["future", "future:0", "future:17", "past:4", "future:-1", "future:4,final:4", "", "future:٤"])
def test_anything_else_than_a_strategy_with_k_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: off, or future:K, final:K or episode:K with K from 1 to 16"):
        Relabelling.parse(text)


def test_what_is_allowed_is_read() -> None:
    assert Relabelling.parse("off") is None
    for text in ("future:1", "final:16", "episode:4"):
        assert str(Relabelling.parse(text)) == text
