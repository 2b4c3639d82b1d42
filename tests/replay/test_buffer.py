"""The buffer: n-step returns, episodes, permanent item ids, stale labels, checkpoints."""

from __future__ import annotations

from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmrb.replay import Added, ReplayBuffer
from vlmrb.replay.methods.laber import LargeBatchSampler
from vlmrb.replay.methods.per import PrioritizedSampler
from vlmrb.replay.methods.reaper import ReliabilitySampler
from vlmrb.replay.methods.relo import ReLoSampler
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.types import Batch, Feedback, ObservationSpec, Transition

SPEC = ObservationSpec("vector", (1,), "float32")


class Item(NamedTuple):
    """One step of one environment, as it was added."""

    transition: Transition
    env: int
    episode: int
    step: int
    ended: bool


class Witness(UniformSampler):
    """Uniform replay that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[np.ndarray, Added]] = []
        self.learned: list[tuple[np.ndarray, Feedback]] = []

    def add(self, slots: np.ndarray, added: Added) -> None:
        self.told.append((slots, added))

    def feedback(self, slots: np.ndarray, feedback: Feedback) -> None:
        self.learned.append((slots, feedback))


def fill(buffer: ReplayBuffer, steps: int, n_envs: int, random: Random, cut: float = 0.0) -> list[Item]:
    """Add random steps; the observation of item i is [i]. Returns the items."""
    items: list[Item] = []
    episodes, lengths, count = list(range(n_envs)), [0] * n_envs, n_envs
    for t in range(steps):
        ids = np.arange(t * n_envs, (t + 1) * n_envs)
        observation = ids.astype(np.float32)[:, None]
        rewards = np.array([random.choice([0.0, 1.0, -2.0]) for _ in range(n_envs)], np.float32)
        terminated, truncated = (np.array([random.random() < p for _ in range(n_envs)]) for p in (0.15, 0.1))
        transition = Transition(observation, np.full(n_envs, t), rewards, observation + 0.5, terminated, truncated)
        np.testing.assert_array_equal(buffer.add(transition), ids)
        begin = random.random() < cut
        if begin:
            buffer.cut_episodes()
        for env in range(n_envs):
            ended = bool(terminated[env] or truncated[env])
            items.append(Item(transition, env, episodes[env], lengths[env], ended or begin))
            lengths[env] += 1
        for envs in ([env for env in range(n_envs) if terminated[env] or truncated[env]], list(range(n_envs)) if begin else []):
            for env in envs:
                episodes[env], lengths[env], count = count, 0, count + 1
    return items


def expected_return(items: list[Item], item: int, n_envs: int, n_step: int, gamma: float) -> tuple[float, float, float, float]:
    """By definition: (return, discount, terminated, next observation)."""
    total, env = 0.0, item % n_envs
    for k in range(n_step):
        last = item + k * n_envs
        transition, *_, ended = items[last]
        total += gamma**k * float(transition.reward[env])
        if ended or k + 1 == n_step or last + n_envs >= len(items):
            return total, gamma ** (k + 1), float(transition.terminated[env]), last + 0.5
    raise AssertionError


def holds_returns(batch: Batch, items: list[Item], n_envs: int, n_step: int, gamma: float) -> None:
    """Assert that a batch is what its item ids say, by definition."""
    np.testing.assert_array_equal(batch.observations[:, 0], batch.item_ids)
    np.testing.assert_array_equal(batch.actions, batch.item_ids // n_envs)
    for row, item in enumerate(batch.item_ids):
        reward, discount, terminated, following = expected_return(items, int(item), n_envs, n_step, gamma)
        assert batch.rewards[row] == pytest.approx(reward, abs=1e-5)
        assert batch.discounts[row] == pytest.approx(discount)
        assert batch.terminated[row] == terminated
        assert batch.next_observations[row, 0] == following


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 60),
    st.integers(0, 40),
    st.sampled_from([0.0, 0.05]),
    st.randoms(use_true_random=False),
)
def test_every_return_is_the_n_step_return_by_definition(
    n_envs: int, n_step: int, steps: int, spare: int, cut: float, random: Random
) -> None:
    capacity = n_envs * n_step + spare
    buffer = ReplayBuffer(capacity, SPEC, UniformSampler(), np.random.default_rng(0), n_envs=n_envs, n_step=n_step, gamma=0.9)
    items = fill(buffer, steps, n_envs, random, cut)
    batch = buffer.sample(300)
    assert batch.item_ids.min() >= n_envs * steps - capacity and batch.item_ids.max() < n_envs * steps
    holds_returns(batch, items, n_envs, n_step, 0.9)
    held = np.arange(max(0, len(items) - capacity), len(items))
    looked_up, _ = buffer.look_up(held[::-1])
    np.testing.assert_array_equal(looked_up.item_ids, held[::-1])
    holds_returns(looked_up, items, n_envs, n_step, 0.9)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 60),
    st.integers(0, 40),
    st.sampled_from([0.0, 0.1]),
    st.randoms(use_true_random=False),
)
def test_every_item_knows_its_episode_and_its_step_in_it(n_envs: int, steps: int, spare: int, cut: float, random: Random) -> None:
    sampler = Witness()
    buffer = ReplayBuffer(n_envs + spare, SPEC, sampler, np.random.default_rng(0), n_envs=n_envs)
    items = fill(buffer, steps, n_envs, random, cut)
    for slots, added in sampler.told:
        assert added.n_envs == n_envs
        np.testing.assert_array_equal(slots, added.item_ids % buffer.capacity)
        np.testing.assert_array_equal(added.observations[:, 0], added.item_ids)
        mine = [items[item] for item in added.item_ids]
        assert [(item.episode, item.step) for item in mine] == list(zip(added.episodes, added.steps, strict=True))
        ended = mine[0].transition.terminated | mine[0].transition.truncated
        np.testing.assert_array_equal(added.ended, ended)
    state = buffer.state_dict()
    for item in range(max(0, len(items) - buffer.capacity), len(items)):
        slot = item % buffer.capacity
        assert (state["episodes"][slot], state["steps"][slot]) == (items[item].episode, items[item].step)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 30), st.integers(0, 30), st.randoms(use_true_random=False))
def test_a_restored_buffer_continues_its_episodes(n_envs: int, n_step: int, steps: int, spare: int, random: Random) -> None:
    def buffer() -> ReplayBuffer:
        rng = np.random.default_rng(1)
        return ReplayBuffer(n_envs * n_step + spare, SPEC, Witness(), rng, n_envs=n_envs, n_step=n_step)

    before, after, state = buffer(), buffer(), random.getstate()
    fill(before, steps, n_envs, random)
    after.load_state_dict({name: np.copy(value) for name, value in before.state_dict().items()})
    random.setstate(state)
    no = np.zeros(n_envs, bool)
    for t in range(n_step):
        seen = np.full((n_envs, 1), 1000.0 + t, np.float32)
        for each in (before, after):
            each.add(Transition(seen, np.zeros(n_envs, int), np.ones(n_envs, np.float32), seen, no, no))
    np.testing.assert_array_equal(before.sampler.told[-1][1].episodes, after.sampler.told[-1][1].episodes)
    np.testing.assert_array_equal(before.sampler.told[-1][1].steps, after.sampler.told[-1][1].steps)
    for ours, theirs in zip(after.sample(100), before.sample(100), strict=True):
        np.testing.assert_array_equal(ours, theirs)


SPECS = [
    ObservationSpec("vector", (1,), "float32"),
    ObservationSpec("vector", (17,), "float32"),
    ObservationSpec("grid", (5,), "uint8"),
    ObservationSpec("grid", (150,), "uint8", (7, 7, 3), (4, 11, 6)),
    ObservationSpec("image", (7, 7, 3), "uint8"),
    ObservationSpec("image", (16, 16, 1), "uint8"),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.dtype}{spec.shape}")
@pytest.mark.parametrize("action_shape", [(), (1,), (2,), (5,)])
@pytest.mark.parametrize("n_step", [1, 3])
def test_observations_and_actions_of_every_size_come_back_as_they_went_in(
    spec: ObservationSpec, action_shape: tuple[int, ...], n_step: int
) -> None:
    rng, n_envs, capacity = np.random.default_rng(0), 2, 13
    dtype = "float32" if action_shape else "int64"
    buffer = ReplayBuffer(
        capacity, spec, UniformSampler(), rng, n_envs=n_envs, n_step=n_step, action_shape=action_shape, action_dtype=dtype
    )
    steps, ends = [], (7, 5)  # the step that ends the episode of each environment
    for t in range(11):
        seen, following = (rng.integers(0, 256, (n_envs, *spec.shape)).astype(spec.dtype) for _ in range(2))
        actions = rng.integers(-(2**40), 2**40, n_envs) if not action_shape else rng.uniform(-1, 1, (n_envs, *action_shape))
        terminated, truncated = np.array([t == ends[0], False]), np.array([False, t == ends[1]])
        steps.append(Transition(seen, actions.astype(dtype), rng.random(n_envs, np.float32), following, terminated, truncated))
        buffer.add(steps[-1])
    batch = buffer.sample(80)
    assert batch.observations.dtype == batch.next_observations.dtype == spec.dtype and batch.actions.dtype == dtype
    assert batch.observations.shape == (80, *spec.shape) and batch.actions.shape == (80, *action_shape)
    for row, item in enumerate(batch.item_ids):
        t, env = divmod(int(item), n_envs)
        end = min(t + n_step - 1, 10, *([ends[env]] if ends[env] >= t else []))
        np.testing.assert_array_equal(batch.observations[row], steps[t].observation[env])
        np.testing.assert_array_equal(batch.actions[row], steps[t].action[env])
        np.testing.assert_array_equal(batch.next_observations[row], steps[end].next_observation[env])
        assert batch.terminated[row] == steps[end].terminated[env]
    before = {name: np.copy(values) for name, values in batch._asdict().items()}
    for values in batch:
        values[...] = 0  # a batch is a copy: whoever changes it changes nothing that is stored
    again, _ = buffer.look_up(before["item_ids"])
    for name in ("observations", "actions", "rewards", "next_observations", "terminated", "discounts"):
        np.testing.assert_array_equal(getattr(again, name), before[name])


def simple_buffer(capacity: int, sampler, steps: int) -> ReplayBuffer:
    buffer = ReplayBuffer(capacity, SPEC, sampler, np.random.default_rng(0))
    for i in range(steps):
        observation = np.array([[i]], np.float32)
        buffer.add(
            Transition(observation, np.zeros(1, int), np.zeros(1, np.float32), observation, np.zeros(1, bool), np.zeros(1, bool))
        )
    return buffer


def test_score_for_an_evicted_item_is_counted_stale_and_touches_no_stranger() -> None:
    buffer = simple_buffer(10, MixtureSampler(10, UniformSampler(), None), 25)  # holds 15 … 24
    assert buffer.apply_label(np.arange(10, 15), np.ones(1)) == 5
    assert set(buffer.sample(300).item_ids) == set(range(15, 25))  # q_P is still empty: uniform
    assert buffer.apply_label(np.arange(12, 18), np.ones(1)) == 3
    assert set(buffer.sample(300).item_ids) == {15, 16, 17}


def test_feedback_about_evicted_items_is_passed_over() -> None:
    buffer = simple_buffer(10, PrioritizedSampler(10, alpha=1.0), 10)
    batch = buffer.sample(5)
    simple = np.array([[99]], np.float32)
    for _ in range(10):
        buffer.add(Transition(simple, np.zeros(1, int), np.zeros(1, np.float32), simple, np.zeros(1, bool), np.zeros(1, bool)))
    buffer.update_priorities(batch.item_ids, Feedback(np.full(5, 1e6, np.float32)))
    np.testing.assert_allclose(buffer.sample(50).probabilities, 0.1)


def test_feedback_keeps_its_parts_together_when_some_items_are_gone() -> None:
    sampler = Witness()
    buffer = simple_buffer(10, sampler, 25)  # holds 15 … 24
    errors, losses = np.arange(4, dtype=np.float32), np.arange(4, 8, dtype=np.float32)
    buffer.update_priorities(np.array([14, 15, 3, 24]), Feedback(errors, losses))
    buffer.update_priorities(np.array([16, 16]), Feedback(errors[:2]))
    buffer.update_priorities(np.array([0, 1]), Feedback(errors[:2]))  # nothing of them is left
    (slots, both), (_, errors_alone) = sampler.learned
    np.testing.assert_array_equal(slots, [5, 4])
    np.testing.assert_array_equal(both.td_errors, [1, 3])
    np.testing.assert_array_equal(both.reducible_losses, [5, 7])
    assert errors_alone.reducible_losses is None


def test_a_later_label_takes_back_an_earlier_one() -> None:
    buffer = simple_buffer(10, MixtureSampler(10, UniformSampler(), None), 25)
    buffer.apply_label(np.array([20, 21]), np.ones(1))
    assert set(buffer.sample(100).item_ids) == {20, 21}
    assert buffer.apply_label(np.array([20]), np.zeros(1)) == 0
    assert set(buffer.sample(100).item_ids) == {21}


def test_a_sampler_that_scores_candidates_is_shown_them_as_the_agent_would_learn_from_them() -> None:
    shown: list[Batch] = []

    def score(batch: Batch) -> np.ndarray:
        shown.append(batch)
        return (batch.item_ids == 17).astype(np.float32)

    random = Random(0)
    sampler = LargeBatchSampler(4, epsilon=0.0)
    buffer = ReplayBuffer(30, SPEC, sampler, np.random.default_rng(0), n_envs=2, n_step=3, gamma=0.9)
    items = fill(buffer, 15, 2, random)
    batch = buffer.sample(25, score)
    (candidates,) = shown
    assert len(candidates.item_ids) == 100
    holds_returns(candidates, items, 2, 3, 0.9)
    holds_returns(batch, items, 2, 3, 0.9)
    assert set(batch.item_ids) == {17}
    with pytest.raises(AssertionError, match="score"):
        buffer.sample(5)


@pytest.mark.parametrize(
    "make",
    [
        UniformSampler,
        LargeBatchSampler,
        lambda: PrioritizedSampler(30),
        lambda: ReLoSampler(30),
        lambda: ReliabilitySampler(30),
        lambda: MixtureSampler(30, UniformSampler(), 0.5, True),
        lambda: MixtureSampler(30, ReliabilitySampler(30), 0.5),
    ],
)
def test_a_restored_buffer_draws_what_the_saved_one_would_have_drawn(make) -> None:
    def score(batch: Batch) -> np.ndarray:
        return np.sin(batch.item_ids).astype(np.float32)

    before = simple_buffer(30, make(), 47)
    before.apply_label(np.arange(20, 30), np.ones(1))
    before.update_priorities(np.arange(20, 40), Feedback(*np.linspace((-1, 3), (3, -1), 20, dtype=np.float32).T))
    state: dict[str, Any] = {name: np.copy(v) if isinstance(v, np.ndarray) else v for name, v in before.state_dict().items()}
    after = ReplayBuffer(30, SPEC, make(), np.random.default_rng(0))
    after.load_state_dict(state)
    before._rng = np.random.default_rng(5)
    after._rng = np.random.default_rng(5)
    for ours, theirs in zip(after.sample(64, score), before.sample(64, score), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_items_are_looked_up_by_their_ids_with_the_chance_of_a_draw() -> None:
    buffer = simple_buffer(10, MixtureSampler(10, UniformSampler(), 0.5), 25)  # holds 15 … 24
    buffer.apply_label(np.array([15, 24]), np.ones(1))
    np.testing.assert_array_equal(buffer.holds(np.array([0, 14, 15, 24, 25])), [False, False, True, True, False])
    batch, parts = buffer.look_up(np.array([24, 16]))
    np.testing.assert_array_equal(batch.item_ids, [24, 16])
    np.testing.assert_array_equal(batch.observations[:, 0], [24, 16])
    np.testing.assert_allclose(parts.vlm, [0.25, 0.0])
    np.testing.assert_allclose(parts.other, [0.05, 0.05])
    np.testing.assert_allclose(batch.probabilities, [0.3, 0.05])


@pytest.mark.parametrize(("n_envs", "capacity", "steps"), [(1, 50, 30), (3, 20, 40), (4, 64, 16), (2, 21, 60)])
def test_a_new_sampler_is_told_what_the_buffer_holds_as_the_first_one_was(
    n_envs: int, capacity: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmrb.replay.buffer.ADDED_AT_ONCE", 7)
    first, second = Witness(), Witness()
    made = [ReplayBuffer(capacity, SPEC, witness, np.random.default_rng(0), n_envs=n_envs) for witness in (first, second)]
    fill(made[0], steps, n_envs, Random(3))
    made[1].load_state_dict(made[0].state_dict(), sampler=False)
    made[1].add_to_sampler()
    for field in ("item_ids", "episodes", "steps", "ended", "observations"):
        told, again = (np.concatenate([getattr(added, field) for _, added in witness.told]) for witness in (first, second))
        np.testing.assert_array_equal(again, told[-len(made[0]) :])
    slots = np.concatenate([slots for slots, _ in second.told])
    assert sorted(slots.tolist()) == list(range(len(made[0])))
