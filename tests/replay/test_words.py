"""Hindsight in words: missions that the item's own episode accomplished, rewards and returns for them, and nothing without."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmrb.replay import HindsightInWords, ReplayBuffer
from vlmrb.replay.hindsight import Relabelling
from vlmrb.replay.methods.per import PrioritizedSampler
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.replay.words import MAX_MISSIONS, SHARED
from vlmrb.types import Batch, ObservationSpec, Transition

SPEC = ObservationSpec("vector", (3,), "float32", mission=2)
GAMMA = 0.9
MISSIONS = ["find the key", "open the door", "reach the goal"]


def made(capacity: int = 400, n_envs: int = 1, n_step: int = 1, her: str = "words:4", sampler: Any = None) -> ReplayBuffer:
    relabelling = Relabelling.parse(her)
    return ReplayBuffer(
        capacity,
        SPEC,
        sampler or UniformSampler(),
        np.random.default_rng(0),
        n_envs=n_envs,
        n_step=n_step,
        gamma=GAMMA,
        hindsight=HindsightInWords(relabelling, SPEC, capacity, seed=3) if relabelling else None,
    )


class Past:
    """Everything that was added, by item id; mission m has the words [m, 10 + m], and item i is observed as [i]."""

    def __init__(self, n_envs: int = 1) -> None:
        self.n_envs, self.items = n_envs, list[dict[str, Any]]()
        self.accomplished: dict[int, int] = {}
        self._episodes, self._missions = list(range(n_envs)), [0] * n_envs

    def step(self, buffer: ReplayBuffer, rewards: list[float], terminated: list[bool], truncated: list[bool]) -> None:
        """One step of all environments; where an episode ends, the next one has the next mission."""
        ids = np.arange(len(self.items), len(self.items) + self.n_envs, dtype=np.float32)
        words = np.array([[mission, 10 + mission] for mission in self._missions], np.float32)
        before, after = (np.concatenate([ids[:, None] + later, words], axis=1) for later in (0.0, 0.5))
        ends = np.array(terminated) | np.array(truncated)
        given = np.array(rewards, np.float32), np.array(terminated), np.array(truncated)
        transition = Transition(before, ids.astype(np.int64), given[0], after, given[1], given[2])
        buffer.add(transition, [MISSIONS[mission] for mission in self._missions])
        for env in range(self.n_envs):
            item = {"reward": rewards[env], "terminated": float(terminated[env])}
            self.items.append({"episode": self._episodes[env], "mission": self._missions[env], **item})
            if ends[env]:
                self._episodes[env] += 1_000
                self._missions[env] = (self._missions[env] + 1) % len(MISSIONS)

    def accomplish(self, buffer: ReplayBuffer, item: int, mission: int) -> None:
        buffer.accomplish(item, MISSIONS[mission])
        self.accomplished[item] = mission

    def episode_from(self, item: int) -> list[int]:
        """The items of its episode from this one on, in order."""
        env = range(item, len(self.items), self.n_envs)
        return [i for i in env if self.items[i]["episode"] == self.items[item]["episode"]]


def holds(past: Past, batch: Batch, relabelled: np.ndarray, n_step: int) -> None:
    """Assert that every row is what its item id and its mission say, by definition."""
    for row, item in enumerate(map(int, batch.item_ids)):
        ahead = past.episode_from(item)
        mission, window = int(batch.observations[row, 1]), ahead[:n_step]
        assert batch.observations[row].tolist() == [item, mission, 10 + mission]
        if relabelled[row]:
            done = [i for i in ahead if past.accomplished.get(i) == mission]
            assert done, "its episode has accomplished the mission, now or later"
            window = [i for i in window if i <= done[0]]
            rewards, terminated = [float(i == done[0]) for i in window], float(done[0] in window)
        else:
            assert mission == past.items[item]["mission"]
            rewards, terminated = [past.items[i]["reward"] for i in window], past.items[window[-1]]["terminated"]
        assert batch.rewards[row] == pytest.approx(sum(GAMMA**k * reward for k, reward in enumerate(rewards)), abs=1e-5)
        assert (batch.terminated[row], batch.discounts[row]) == (terminated, pytest.approx(GAMMA ** len(window)))
        np.testing.assert_array_equal(batch.next_observations[row], [window[-1] + 0.5, mission, 10 + mission])


def five_steps(n_step: int = 2) -> tuple[ReplayBuffer, Past]:
    """An episode of five steps that succeeds with its own mission at the end, after one of each other mission."""
    buffer, past = made(n_step=n_step), Past()
    for _ in MISSIONS:
        past.step(buffer, [0.0], [False], [True])  # so that each has been given
    for at in range(5):
        past.step(buffer, [0.7 if at == 4 else 0.0], [at == 4], [False])
    return buffer, past


def test_the_step_that_accomplished_another_mission_earns_1_and_ends_the_return_and_those_before_earn_0() -> None:
    buffer, past = five_steps()
    past.accomplish(buffer, 5, 1)  # the third of its steps
    batch = buffer.sample(4_000)
    assert buffer.relabelled is not None
    found = {
        (int(item), bool(new)): (round(float(reward), 3), float(end), round(float(discount), 3), after.tolist())
        for item, new, reward, end, discount, after in zip(
            batch.item_ids,
            buffer.relabelled,
            batch.rewards,
            batch.terminated,
            batch.discounts,
            batch.next_observations,
            strict=True,
        )
        if item >= 3
    }
    assert found == {
        (3, False): (0.0, 0.0, 0.81, [4.5, 0, 10]),
        (3, True): (0.0, 0.0, 0.81, [4.5, 1, 11]),
        (4, False): (0.0, 0.0, 0.81, [5.5, 0, 10]),
        (4, True): (0.9, 1.0, 0.81, [5.5, 1, 11]),
        (5, False): (0.0, 0.0, 0.81, [6.5, 0, 10]),
        (5, True): (1.0, 1.0, 0.9, [5.5, 1, 11]),
        (6, False): (0.63, 1.0, 0.81, [7.5, 0, 10]),  # after it, nothing changes
        (7, False): (0.7, 1.0, 0.9, [7.5, 0, 10]),
    }


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 50),
    st.integers(0, 40),
    st.integers(0, 40),
    st.randoms(use_true_random=False),
)
def test_every_relabelled_return_is_the_one_for_its_new_mission_by_definition(
    n_envs: int, n_step: int, steps: int, spare: int, marks: int, random: Random
) -> None:
    buffer, past = made(n_envs * n_step + spare, n_envs, n_step), Past(n_envs)
    for _ in range(steps):
        chances = [[random.random() < p for _ in range(n_envs)] for p in (0.1, 0.1)]
        past.step(buffer, [random.choice([0.0, 0.7]) for _ in range(n_envs)], *chances)
    given_so_far = {item["mission"] for item in past.items}
    for _ in range(marks):
        item, mission = random.randrange(len(past.items)), random.randrange(len(MISSIONS))
        if item >= len(past.items) - buffer.capacity and mission in given_so_far:
            past.accomplish(buffer, item, mission)
        else:
            buffer.accomplish(item - buffer.capacity, MISSIONS[mission])  # overwritten long ago
    for _ in range(2):  # the second time, what is stored is as it was
        batch = buffer.sample(100)
        assert buffer.relabelled is not None
        holds(past, batch, buffer.relabelled, n_step)


@pytest.mark.parametrize("her", ["words:1", "words:15"])
def test_half_of_the_items_with_a_mission_ahead_take_it_however_many_are_asked_about(her: str) -> None:
    buffer, past = made(her=her), Past()
    for at in range(6):
        past.step(buffer, [0.0], [False], [at < 2])
    past.accomplish(buffer, 5, 1)
    batch = buffer.sample(20_000)
    assert buffer.relabelled is not None
    assert buffer.relabelled[batch.item_ids >= 2].mean() == pytest.approx(0.5, abs=0.02)
    assert not buffer.relabelled[batch.item_ids < 2].any()


def test_each_step_that_accomplished_something_is_taken_equally_often() -> None:
    buffer, past = five_steps()
    for item, mission in ((4, 1), (5, 2), (6, 1), (7, 1)):
        past.accomplish(buffer, item, mission)
    batch = buffer.sample(20_000)
    assert buffer.relabelled is not None
    rows = (batch.item_ids == 3) & buffer.relabelled
    taken = Counter(batch.observations[rows, 1].astype(int).tolist())
    assert taken[1] / (taken[1] + taken[2]) == pytest.approx(3 / 4, abs=0.04)


def test_an_item_that_takes_the_place_of_another_has_accomplished_nothing_and_a_late_answer_is_passed_over() -> None:
    buffer, past = made(capacity=4), Past()
    for at in range(4):
        past.step(buffer, [0.0], [False], [at == 1])
    past.accomplish(buffer, 3, 0)
    past.accomplish(buffer, 1, 0)
    for _ in range(2):  # items 0 and 1 give way
        past.step(buffer, [0.0], [False], [False])
    buffer.accomplish(0, MISSIONS[0])  # its slot is item 4's
    buffer.accomplish(10, MISSIONS[0])  # there is no such item
    buffer.accomplish(5, "a mission that nobody has given")
    batch = buffer.sample(500)
    assert buffer.relabelled is not None
    assert set(batch.item_ids[buffer.relabelled].tolist()) == {2, 3}


@pytest.mark.parametrize(
    "sampler", [UniformSampler, lambda: PrioritizedSampler(400), lambda: MixtureSampler(400, UniformSampler(), 0.5)]
)
def test_where_nothing_was_accomplished_a_batch_is_as_stored(sampler: Any) -> None:
    batches = []
    for her in ("words:4", "off"):
        buffer, past, random = made(n_envs=2, n_step=3, her=her, sampler=sampler()), Past(2), Random(4)
        for _ in range(100):
            past.step(buffer, [0.0, 0.5], [False, False], [random.random() < 0.1 for _ in range(2)])
        batches.append(buffer.sample(64))
        assert (buffer.relabelled is None) == (her == "off")
    for name, ours, theirs in zip(Batch._fields, *batches, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_a_buffer_that_was_saved_and_restored_draws_and_relabels_the_same() -> None:
    buffer, past = five_steps()
    past.accomplish(buffer, 5, 1)
    state = {name: np.array(value) if isinstance(value, np.ndarray) else value for name, value in buffer.state_dict().items()}
    restored = made(n_step=2)
    restored.load_state_dict(state)
    restored._rng.bit_generator.state = buffer._rng.bit_generator.state
    for name, mine, other in zip(Batch._fields, buffer.sample(256), restored.sample(256), strict=True):
        np.testing.assert_array_equal(mine, other, err_msg=name)
    assert buffer.in_words is not None and restored.in_words is not None
    assert restored.in_words.missions.texts == MISSIONS
    assert [restored.in_words.others(number) for number in range(40)] == [buffer.in_words.others(number) for number in range(40)]


def test_what_a_buffer_without_hindsight_in_words_saved_begins_with_nothing_accomplished() -> None:
    plain, past = made(her="off"), Past()
    for _ in range(3):
        past.step(plain, [0.0], [False], [False])
    assert not any("words" in name for name in plain.state_dict())
    buffer = made()
    buffer.load_state_dict(plain.state_dict())
    assert buffer.sample(50).rewards.sum() == 0 and not buffer.relabelled.any()  # type: ignore[union-attr]
    assert buffer.in_words is not None and buffer.in_words.others(0) == ()


def in_words(texts: list[str], her: str = "words:4") -> HindsightInWords:
    relabelling = Relabelling.parse(her)
    assert relabelling is not None
    made = HindsightInWords(relabelling, SPEC, 10, seed=3)
    made.missions.see(texts, np.zeros((len(texts), 3), np.float32))
    return made


def test_a_clip_is_asked_about_k_missions_of_those_given_so_far_and_each_gets_its_turn() -> None:
    texts = [f"fetch {number} keys" for number in range(12)]
    hindsight = in_words([*texts, "", texts[0]])
    asked = [hindsight.others(number) for number in range(0, 400 * SHARED, SHARED)]
    assert all(len(set(missions)) == 4 and set(missions) <= set(texts) for missions in asked)
    counts = Counter(mission for missions in asked for mission in missions)
    assert set(counts) == set(texts) and max(counts.values()) < 1.6 * min(counts.values())
    assert [hindsight.others(number) for number in range(SHARED)] == [asked[0]] * SHARED, "they can become one batch"


def test_while_fewer_missions_are_known_a_clip_is_asked_about_all_of_them_and_about_none_if_there_is_one() -> None:
    assert sorted(in_words(MISSIONS).others(7)) == sorted(MISSIONS)
    assert in_words(["find the key"]).others(7) == in_words([]).others(7) == ()


def test_the_missions_that_are_kept_are_bounded() -> None:
    hindsight = in_words([f"fetch {number} keys" for number in range(MAX_MISSIONS + 5)])
    assert len(hindsight.missions.texts) == MAX_MISSIONS
    hindsight.accomplish(0, f"fetch {MAX_MISSIONS + 1} keys")  # no harm
    assert hindsight.missions.number(f"fetch {MAX_MISSIONS + 1} keys") is None


@pytest.mark.parametrize("text", ["words", "words:0", "words:16", "words:-1", "words:4,future:4"])
def test_a_number_of_missions_out_of_range_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="or words:K with K from 1 to 15"):
        Relabelling.parse(text)
