"""Replay buffers that version 0.1 saved, with n-step returns, are restored as one-step transitions.

`data/version_0_1.npz` was written by this program in a checkout of version 0.1, whose replay it calls:

    import numpy as np
    from vlmrb.replay import MixtureSampler, PrioritizedSampler, ReplayBuffer, UniformSampler
    from vlmrb.types import ObservationSpec, Transition

    def play(rng, n_envs, steps):
        seen = rng.normal(size=(n_envs, 2)).astype("float32")
        for _ in range(steps):
            following, new = rng.normal(size=(2, n_envs, 2)).astype("float32")
            ended = rng.random((2, n_envs)) < 0.15  # terminated, truncated
            yield Transition(seen, rng.integers(0, 5, n_envs), rng.normal(size=n_envs).astype("float32"), following, *ended)
            seen = np.where(ended.any(axis=0)[:, None], new, following)

    def table(fields):
        return np.column_stack([np.reshape(values, (len(values), -1)) for values in fields]).astype("float32")

    def batch():
        buffer._rng = np.random.default_rng(7)
        return table(buffer.sample(32))

    found, spec = {}, ObservationSpec("vector", (2,), "float32")
    cases = {
        "one_step": (3, 1, 13, UniformSampler()),
        "three_steps": (3, 3, 13, PrioritizedSampler(32)),
        "not_full": (1, 3, 25, MixtureSampler(32, 0.5, True)),
    }
    for number, (case, (n_envs, n_step, steps, sampler)) in enumerate(cases.items()):
        rng = np.random.default_rng(number)
        buffer = ReplayBuffer(32, spec, sampler, rng, n_envs=n_envs, n_step=n_step, gamma=0.9)
        *before, first, second, third, fourth = play(rng, n_envs, steps + 4)
        for transition in before:
            ids = buffer.add(transition)
            buffer.update_priorities(ids, rng.normal(size=n_envs).astype("float32"))
        buffer.apply_score(np.arange(8, 16), 1.0)
        found |= {f"{case}.state.{name}": np.copy(value) for name, value in buffer.state_dict().items()}
        found[f"{case}.batch.0"] = batch()
        for add, transition in enumerate((first, second, third, fourth), 1):
            if add == 3:
                buffer.cut_episodes()
            buffer.add(transition)
            found |= {f"{case}.step.{add}": table(transition), f"{case}.batch.{add}": batch()}
    np.savez_compressed("version_0_1.npz", **found)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vlmrb.errors import CheckpointError
from vlmrb.replay import ReplayBuffer
from vlmrb.replay.methods.per import PrioritizedSampler
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.replay.upgrade import one_step_state
from vlmrb.types import ObservationSpec, Transition

CAPACITY = 32
CASES = {
    "one_step": (3, 1, UniformSampler),
    "three_steps": (3, 3, lambda: PrioritizedSampler(CAPACITY)),
    "not_full": (1, 3, lambda: MixtureSampler(CAPACITY, UniformSampler(), 0.5, True)),
}


@pytest.fixture(scope="module")
def saved() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "data" / "version_0_1.npz") as found:
        return dict(found)


def below(prefix: str, saved: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What lies under a name, without that name."""
    return {name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)}


def restored(case: str, saved: dict[str, np.ndarray]) -> ReplayBuffer:
    n_envs, n_step, make = CASES[case]
    spec = ObservationSpec("vector", (2,), "float32")
    buffer = ReplayBuffer(CAPACITY, spec, make(), np.random.default_rng(0), n_envs=n_envs, n_step=n_step, gamma=0.9)
    buffer.load_state_dict(below(f"{case}.state.", saved))
    return buffer


def draws_as(buffer: ReplayBuffer, expected: np.ndarray) -> None:
    """Assert that the buffer draws the batch that the old one drew."""
    buffer._rng = np.random.default_rng(7)
    batch = buffer.sample(32)
    drawn = np.column_stack([np.reshape(values, (32, -1)) for values in batch])
    np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(drawn[:, :3], expected[:, :3])  # observations and actions
    assert set(batch.item_ids) == set(expected[:, -3])


@pytest.mark.parametrize("case", CASES)
def test_what_version_0_1_saved_is_drawn_and_continued_as_it_would_have_been(case: str, saved: dict[str, np.ndarray]) -> None:
    buffer = restored(case, saved)
    draws_as(buffer, saved[f"{case}.batch.0"])
    for add in range(1, 5):
        if add == 3:
            buffer.cut_episodes()
        step = saved[f"{case}.step.{add}"]  # [E, columns]
        terminated, truncated = step[:, 6:].T.astype(bool)
        buffer.add(Transition(step[:, :2], step[:, 2].astype(int), step[:, 3], step[:, 4:6], terminated, truncated))
        draws_as(buffer, saved[f"{case}.batch.{add}"])


@pytest.mark.parametrize("case", ["three_steps", "not_full"])
def test_its_items_are_one_step_transitions_of_episodes_that_begin_where_returns_ended(case: str, saved) -> None:
    n_envs, _, _ = CASES[case]
    buffer = restored(case, saved)
    held = np.arange(max(0, buffer.next_item_id - CAPACITY), buffer.next_item_id)
    state, old = buffer.state_dict(), below(f"{case}.state.", saved)
    slots = held % CAPACITY
    place = {int(item): int(slot) for item, slot in zip(held, slots, strict=True)}
    for item in held:
        slot, following = place[int(item)], place.get(int(item) + n_envs)
        length = round(np.log(old["discounts"][slot]) / np.log(0.9))
        if length > 1:
            assert following is not None
            assert state["episodes"][following] == state["episodes"][slot]
            assert state["steps"][following] == state["steps"][slot] + 1
            assert not state["terminated"][slot]
            np.testing.assert_array_equal(state["next_observations"][slot], state["observations"][following])
        elif following is not None:
            assert state["episodes"][following] != state["episodes"][slot] and state["steps"][following] == 0
            assert state["terminated"][slot] == old["terminated"][slot]
    envs = [{int(state["episodes"][place[int(item)]]) for item in held if item % n_envs == env} for env in range(n_envs)]
    assert sum(map(len, envs)) == len(set.union(*envs)) > 2 * n_envs  # no two environments share an episode
    assert state["next_episode"] > max(max(each) for each in envs)


def test_what_version_0_1_saved_survives_being_saved_again(saved: dict[str, np.ndarray]) -> None:
    first = restored("three_steps", saved)
    state = {name: np.copy(value) for name, value in first.state_dict().items()}
    n_envs, n_step, make = CASES["three_steps"]
    spec = ObservationSpec("vector", (2,), "float32")
    again = ReplayBuffer(CAPACITY, spec, make(), np.random.default_rng(0), n_envs=n_envs, n_step=n_step, gamma=0.9)
    again.load_state_dict(state)
    draws_as(again, saved["three_steps.batch.0"])


def test_returns_without_discount_cannot_be_taken_apart_and_say_so(saved: dict[str, np.ndarray]) -> None:
    state = below("three_steps.state.", saved)
    with pytest.raises(CheckpointError, match="3-step returns without discount"):
        one_step_state(state, CAPACITY, 3, 3, 1.0)
    one_step_state(state, CAPACITY, 3, 1, 1.0)
