"""ReaPER: draws in proportion to R^ω·|δ|^α, R the share of an episode's errors that lies up to the item."""

from __future__ import annotations

from collections import defaultdict
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.replay.draws import SIZE, add, added, fits, stated, td
from vlmrb.replay import ReplayBuffer
from vlmrb.replay.methods.reaper import ReliabilitySampler
from vlmrb.types import Feedback, ObservationSpec, Transition

EPSILON = 1e-6
EPISODE = 8
ERRORS = np.random.default_rng(2).normal(size=SIZE).astype(np.float32)


def learned(**settings: object) -> ReliabilitySampler:
    """Five ended episodes of eight steps, all learned from."""
    sampler = ReliabilitySampler(64, **settings)
    add(sampler, np.arange(SIZE), episode_length=EPISODE)
    sampler.feedback(np.arange(SIZE), td(ERRORS))
    return sampler


def by_definition(errors: np.ndarray, alpha: float, omega: float) -> np.ndarray:
    """R_t = 1 − Σ_{i>t}|δ_i| / Σ_i|δ_i| over each ended episode, and the probabilities in proportion to R^ω·|δ|^α."""
    masses = []
    for episode in np.abs(errors, dtype=np.float64).reshape(-1, EPISODE) + EPSILON:
        for step, error in enumerate(episode):
            masses.append((1 - episode[step + 1 :].sum() / episode.sum()) ** omega * error**alpha)
    return np.array(masses) / sum(masses)


@pytest.mark.parametrize(("alpha", "omega"), [(0.4, 0.2), (1.0, 1.0), (0.7, 0.0), (0.0, 0.5)])
def test_it_draws_ended_episodes_by_reliability_and_td_error(alpha: float, omega: float) -> None:
    sampler, expected = learned(alpha=alpha, omega=omega), by_definition(ERRORS, alpha, omega)
    slots, table = stated(sampler)
    fits(slots, expected)
    drawn = np.unique(slots)
    np.testing.assert_allclose(table[drawn], expected[drawn], rtol=1e-9)
    np.testing.assert_allclose(sampler.chances(np.arange(SIZE), SIZE), expected, rtol=1e-9)


def test_importance_weights_are_those_of_its_own_probabilities() -> None:
    slots, _, weights = learned(beta=0.8).sample(300, SIZE, np.random.default_rng(0))
    raw = (SIZE * by_definition(ERRORS, 0.4, 0.2)[slots]) ** -0.8
    np.testing.assert_allclose(weights, raw / raw.max(), rtol=1e-6)
    assert learned(weighted=False).sample(9, SIZE, np.random.default_rng(0)).weights.tolist() == [1.0] * 9


def test_learning_from_one_item_rates_its_whole_episode_again_and_no_other() -> None:
    sampler, errors = learned(), ERRORS.copy()
    errors[18] = 5.0
    sampler.feedback(np.array([18]), td([-5.0]))
    np.testing.assert_allclose(sampler.chances(np.arange(SIZE), SIZE), by_definition(errors, 0.4, 0.2), rtol=1e-9)


def test_an_unfinished_episode_is_measured_against_the_largest_sum_that_an_ended_one_has_had() -> None:
    sampler = ReliabilitySampler(16, alpha=1.0, omega=1.0, epsilon=0.0)
    add(sampler, np.arange(6), episode_length=3)  # two ended episodes of three steps
    sampler.feedback(np.arange(6), td([1, 2, 1, 4, 2, 2]))
    sampler.add(np.array([6, 7]), added(np.array([6, 7]), episode_length=3))  # a third, not ended
    sampler.feedback(np.array([6, 7]), td([2, 4]))
    masses = np.array([1 * 1 / 4, 2 * 3 / 4, 1, 4 * 4 / 8, 2 * 6 / 8, 2, 2 * 2 / 8, 4 * 6 / 8])
    np.testing.assert_allclose(sampler.chances(np.arange(8), 8), masses / masses.sum())
    sampler.feedback(np.array([7]), td([14]))  # its own sum, 16, is the larger one now
    masses[6:] = 2 * 2 / 16, 14
    np.testing.assert_allclose(sampler.chances(np.arange(8), 8), masses / masses.sum())


def test_a_new_item_has_the_largest_error_seen_so_far_and_counts_as_reliable() -> None:
    sampler = ReliabilitySampler(16, alpha=1.0, omega=1.0, epsilon=0.0)
    add(sampler, np.arange(2), episode_length=2)
    sampler.feedback(np.arange(2), td([1, 3]))
    sampler.add(np.array([2]), added(np.array([2]), episode_length=2))
    np.testing.assert_allclose(sampler.chances(np.arange(3), 3), np.array([0.25, 3, 3]) / 6.25)


def test_a_restored_sampler_draws_the_same_afterwards() -> None:
    before, after = learned(), ReliabilitySampler(64)
    after.load_state_dict(before.state_dict())
    for sampler in (before, after):
        sampler.add(np.arange(SIZE, SIZE + 9), added(np.arange(SIZE, SIZE + 9), episode_length=EPISODE))
        sampler.feedback(np.array([3, SIZE + 8]), td([4, 5]))
    size = SIZE + 9
    for ours, theirs in zip(*(each.sample(500, size, np.random.default_rng(4)) for each in (after, before)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Reference:
    """What the sampler promises, item by item."""

    def __init__(self, capacity: int, n_envs: int) -> None:
        self.capacity, self.n_envs, self.next_item = capacity, n_envs, 0
        self.error: dict[int, float] = {}
        self.mass: dict[int, float] = {}
        self.episode_of: dict[int, int] = {}
        self.ended: set[int] = set()
        self.current = list(range(n_envs))
        self.episodes = n_envs
        self.max_error, self.largest_sum = 1.0, 0.0

    def add(self, ended: np.ndarray) -> None:
        finished = []
        for env in range(self.n_envs):
            item, episode = self.next_item + env, self.current[env]
            self.error[item], self.mass[item], self.episode_of[item] = self.max_error, self.max_error**0.4, episode
            if ended[env]:
                self.ended.add(episode)
                finished.append(episode)
        self.next_item += self.n_envs
        for item in [item for item in self.error if item < self.next_item - self.capacity]:
            del self.error[item], self.mass[item], self.episode_of[item]
        self.rate(finished)
        self.begin([env for env in range(self.n_envs) if ended[env]])

    def begin(self, envs: list[int]) -> None:
        for env in envs:
            self.current[env] = self.episodes
            self.episodes += 1

    def feedback(self, items: list[int], errors: np.ndarray) -> None:
        for item, error in zip(items, errors, strict=True):
            self.error[item] = abs(float(error)) + EPSILON
        self.max_error = max([self.max_error, *(self.error[item] for item in items)])
        self.rate([self.episode_of[item] for item in items])

    def rate(self, episodes: list[int]) -> None:
        items_of = defaultdict(list)
        for item in sorted(self.error):
            items_of[self.episode_of[item]].append(item)
        sums = {episode: sum(self.error[item] for item in items_of[episode]) for episode in episodes}
        self.largest_sum = max([self.largest_sum, *(total for episode, total in sums.items() if episode in self.ended)])
        for episode, total in sums.items():
            whole = total if episode in self.ended else max(total, self.largest_sum)
            so_far = 0.0
            for item in items_of[episode]:
                so_far += self.error[item]
                self.mass[item] = (so_far / whole) ** 0.2 * self.error[item] ** 0.4


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.integers(1, 80), st.randoms(use_true_random=False))
def test_it_agrees_with_a_reference_through_interleaved_episodes_wrap_around_and_eviction(
    n_envs: int, capacity: int, steps: int, random: Random
) -> None:
    capacity = max(capacity, n_envs)
    sampler, reference = ReliabilitySampler(capacity), Reference(capacity, n_envs)
    spec = ObservationSpec("vector", (1,), "float32")
    buffer = ReplayBuffer(capacity, spec, sampler, np.random.default_rng(0), n_envs=n_envs)
    seen, zero = np.zeros((n_envs, 1), np.float32), np.zeros(n_envs)
    for _ in range(steps):
        terminated, truncated = (np.array([random.random() < 0.1 for _ in range(n_envs)]) for _ in range(2))
        buffer.add(Transition(seen, zero.astype(int), zero.astype(np.float32), seen, terminated, truncated))
        reference.add(terminated | truncated)
        if random.random() < 0.05:
            buffer.cut_episodes()
            reference.begin(list(range(n_envs)))
        if random.random() < 0.6:
            items = [random.choice(list(reference.error)) for _ in range(random.randint(1, 6))]
            errors = np.array([random.choice([0.0, -2.0, 0.5]) + random.random() for _ in items], np.float32)
            buffer.update_priorities(np.array(items), Feedback(errors))
            reference.feedback(items, errors)
    items = np.array(sorted(reference.mass))
    masses = np.array([reference.mass[item] for item in items])
    assert len(items) == len(buffer)
    np.testing.assert_allclose(sampler.chances(items % capacity, len(buffer)), masses / masses.sum(), rtol=1e-9)
