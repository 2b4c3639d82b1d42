"""The buffer: n-step returns, permanent item ids, stale scores, checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmrb.replay import ReplayBuffer
from vlmrb.replay.methods.per import PrioritizedSampler
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.types import Feedback, ObservationSpec, Transition

SPEC = ObservationSpec("vector", (1,), "float32")


def fill(buffer: ReplayBuffer, steps: int, n_envs: int, random) -> list[dict]:
    """Add random steps; the observation of item i is [i]; returns the steps."""
    history = []
    for t in range(steps):
        first = t * n_envs
        ids = np.arange(first, first + n_envs, dtype=np.float32)[:, None]
        step = {
            "reward": np.array([random.choice([0.0, 1.0, -2.0]) for _ in range(n_envs)], np.float32),
            "terminated": np.array([random.random() < 0.15 for _ in range(n_envs)]),
            "truncated": np.array([random.random() < 0.1 for _ in range(n_envs)]),
        }
        history.append(step)
        given_ids = buffer.add(
            Transition(ids, np.full(n_envs, t), step["reward"], ids + 0.5, step["terminated"], step["truncated"])
        )
        np.testing.assert_array_equal(given_ids, ids[:, 0])
    return history


def expected_return(history: list[dict], item: int, n_envs: int, n_step: int, gamma: float) -> tuple[float, float, float, float]:
    """By definition: (return, discount, terminated, next observation)."""
    total, t, env = 0.0, item // n_envs, item % n_envs
    for k in range(n_step):
        step = history[t + k]
        total += gamma**k * float(step["reward"][env])
        last = step["terminated"][env] or step["truncated"][env] or t + k + 1 == len(history) or k + 1 == n_step
        if last:
            return total, gamma ** (k + 1), float(step["terminated"][env]), (t + k) * n_envs + env + 0.5
    raise AssertionError


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 60), st.integers(0, 40), st.randoms(use_true_random=False))
def test_every_stored_return_is_the_n_step_return_by_definition(n_envs: int, n_step: int, steps: int, spare: int, random) -> None:
    capacity = n_envs * n_step + spare
    buffer = ReplayBuffer(capacity, SPEC, UniformSampler(), np.random.default_rng(0), n_envs=n_envs, n_step=n_step, gamma=0.9)
    history = fill(buffer, steps, n_envs, random)
    batch = buffer.sample(300)
    assert batch.item_ids.min() >= n_envs * steps - capacity and batch.item_ids.max() < n_envs * steps
    np.testing.assert_array_equal(batch.observations[:, 0], batch.item_ids)
    np.testing.assert_array_equal(batch.actions, batch.item_ids // n_envs)
    for row, item in enumerate(batch.item_ids):
        reward, discount, terminated, following = expected_return(history, int(item), n_envs, n_step, 0.9)
        assert batch.rewards[row] == pytest.approx(reward, abs=1e-5)
        assert batch.discounts[row] == pytest.approx(discount)
        assert batch.terminated[row] == terminated
        assert batch.next_observations[row, 0] == following


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
    assert buffer.apply_label(np.arange(10, 15), True) == 5
    assert set(buffer.sample(300).item_ids) == set(range(15, 25))  # q_P is still empty: uniform
    assert buffer.apply_label(np.arange(12, 18), True) == 3
    assert set(buffer.sample(300).item_ids) == {15, 16, 17}


def test_td_errors_of_evicted_items_are_passed_over() -> None:
    buffer = simple_buffer(10, PrioritizedSampler(10, alpha=1.0), 10)
    batch = buffer.sample(5)
    simple = np.array([[99]], np.float32)
    for _ in range(10):
        buffer.add(Transition(simple, np.zeros(1, int), np.zeros(1, np.float32), simple, np.zeros(1, bool), np.zeros(1, bool)))
    buffer.update_priorities(batch.item_ids, Feedback(np.full(5, 1e6, np.float32)))
    np.testing.assert_allclose(buffer.sample(50).probabilities, 0.1)


@pytest.mark.parametrize(
    "make", [UniformSampler, lambda: PrioritizedSampler(30), lambda: MixtureSampler(30, UniformSampler(), 0.5, True)]
)
def test_a_restored_buffer_draws_what_the_saved_one_would_have_drawn(make) -> None:
    before = simple_buffer(30, make(), 47)
    before.apply_label(np.arange(20, 30), True)
    before.update_priorities(np.arange(20, 40), Feedback(np.linspace(-1, 3, 20).astype(np.float32)))
    state = {key: np.copy(value) if isinstance(value, np.ndarray) else value for key, value in before.state_dict().items()}
    after = ReplayBuffer(30, SPEC, make(), np.random.default_rng(0))
    after.load_state_dict(state)
    before._rng = np.random.default_rng(5)
    after._rng = np.random.default_rng(5)
    for ours, theirs in zip(after.sample(64), before.sample(64), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_items_are_looked_up_by_their_ids_with_the_chance_of_a_draw() -> None:
    buffer = simple_buffer(10, MixtureSampler(10, UniformSampler(), 0.5), 25)  # holds 15 … 24
    buffer.apply_label(np.array([15, 24]), True)
    np.testing.assert_array_equal(buffer.holds(np.array([0, 14, 15, 24, 25])), [False, False, True, True, False])
    batch, parts = buffer.look_up(np.array([24, 16]))
    np.testing.assert_array_equal(batch.item_ids, [24, 16])
    np.testing.assert_array_equal(batch.observations[:, 0], [24, 16])
    np.testing.assert_allclose(parts.vlm, [0.25, 0.0])
    np.testing.assert_allclose(parts.other, [0.05, 0.05])
    np.testing.assert_allclose(batch.probabilities, [0.3, 0.05])
