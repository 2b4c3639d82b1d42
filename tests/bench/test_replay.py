"""(a) Replay with 1,000,000 items of two 150-byte observations and batches of 256, versus cpprb and tianshou."""

from __future__ import annotations

import numpy as np
import pytest

from vlmrb.replay import ReplayBuffer, Sampler
from vlmrb.replay.methods.laber import LargeBatchSampler
from vlmrb.replay.methods.per import PrioritizedSampler
from vlmrb.replay.methods.reaper import ReliabilitySampler
from vlmrb.replay.methods.relo import ReLoSampler
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.types import Batch, Feedback, ObservationSpec, Transition

pytestmark = pytest.mark.bench

SIZE, BATCH, CHUNK, EPISODE = 1_000_000, 256, 1_000, 100


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "observation": rng.integers(0, 11, (CHUNK, 150), dtype=np.uint8),
        "action": rng.integers(0, 7, CHUNK),
        "reward": rng.random(CHUNK, dtype=np.float32),
        "ended": np.zeros(CHUNK, bool),
        "priorities": rng.random(SIZE, dtype=np.float32) + 0.01,
    }


def ours(sampler: Sampler, data, n_step: int = 1, n_envs: int = CHUNK) -> ReplayBuffer:
    """A full buffer of episodes of 100 steps, every item of which has been learned from once."""
    spec = ObservationSpec("grid", (150,), "uint8")
    buffer = ReplayBuffer(SIZE, spec, sampler, np.random.default_rng(0), n_envs=n_envs, n_step=n_step)
    observation, action, reward = (data[name][:n_envs] for name in ("observation", "action", "reward"))
    truncated = np.zeros(n_envs, bool)
    for time in range(SIZE // n_envs):
        terminated = np.full(n_envs, time % EPISODE == EPISODE - 1)
        ids = buffer.add(Transition(observation, action, reward, observation, terminated, truncated))
        if time % 5 == 0:
            buffer.apply_label(ids, np.ones(1))
    for ids in np.arange(SIZE).reshape(-1, n_envs).T.reshape(-1, EPISODE):
        buffer.update_priorities(ids, Feedback(data["priorities"][ids], data["priorities"][ids]))
    return buffer


def cheap_score(batch: Batch) -> np.ndarray:
    """Stands for the agent's TD errors, at next to no cost."""
    return batch.rewards


def learn_from(buffer: ReplayBuffer, errors: np.ndarray):
    feedback = Feedback(errors, errors)

    def once() -> None:
        batch = buffer.sample(BATCH, cheap_score)
        buffer.update_priorities(batch.item_ids, feedback)

    return once


def cpprb_buffer(data, prioritized: bool):
    cpprb = pytest.importorskip("cpprb")
    fields = {
        "obs": {"shape": 150, "dtype": np.uint8},
        "next_obs": {"shape": 150, "dtype": np.uint8},
        "act": {"dtype": np.int64},
        "rew": {},
        "done": {},
    }
    buffer = (cpprb.PrioritizedReplayBuffer if prioritized else cpprb.ReplayBuffer)(SIZE, fields)
    for first in range(0, SIZE, CHUNK):
        values = {
            "obs": data["observation"],
            "next_obs": data["observation"],
            "act": data["action"],
            "rew": data["reward"],
            "done": data["ended"],
        }
        if prioritized:
            values["priorities"] = data["priorities"][first : first + CHUNK]
        buffer.add(**values)
    return buffer


def tianshou_buffer(data):
    module = pytest.importorskip("tianshou.data")
    buffer = module.PrioritizedReplayBuffer(SIZE, alpha=0.6, beta=0.4)
    row = module.Batch(
        obs=data["observation"][0], act=1, rew=0.5, terminated=False, truncated=False, obs_next=data["observation"][0], info={}
    )
    buffer.add(row)
    for name in ("obs", "obs_next"):  # adding items one by one would take minutes; this writes the same arrays at once
        buffer._meta[name][:] = np.tile(data["observation"], (SIZE // CHUNK, 1))
    buffer._size, buffer._insertion_idx = SIZE, 0
    buffer.weight[np.arange(SIZE)] = data["priorities"]
    return buffer


def test_prioritised_sample_and_update_against_cpprb(compare, data) -> None:
    rival, errors = cpprb_buffer(data, True), np.random.default_rng(1).random(BATCH).astype(np.float32)

    def theirs() -> None:
        batch = rival.sample(BATCH, beta=0.4)
        rival.update_priorities(batch["indexes"], errors)

    compare("prioritised sample + update, vlmrb : cpprb", learn_from(ours(PrioritizedSampler(SIZE), data), errors), theirs, 1000)


def test_prioritised_sample_and_update_against_tianshou(compare, data) -> None:
    rival, errors = tianshou_buffer(data), np.random.default_rng(1).random(BATCH).astype(np.float32)

    def theirs() -> None:
        _, indices = rival.sample(BATCH)
        rival.update_weight(indices, errors)

    compare(
        "prioritised sample + update, vlmrb : tianshou", learn_from(ours(PrioritizedSampler(SIZE), data), errors), theirs, 1000
    )


def test_uniform_sample_against_cpprb(compare, data) -> None:
    rival, buffer = cpprb_buffer(data, False), ours(UniformSampler(), data)
    compare("uniform sample, vlmrb : cpprb", lambda: buffer.sample(BATCH), lambda: rival.sample(BATCH), 1000)


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("PER", lambda: PrioritizedSampler(SIZE)),
        ("VLM mixture over uniform", lambda: MixtureSampler(SIZE, UniformSampler(), 0.5)),
        ("VLM mixture over PER", lambda: MixtureSampler(SIZE, PrioritizedSampler(SIZE), 0.5)),
        ("LaBER, 4 candidates an item, cheap scores", LargeBatchSampler),
    ],
)
def test_sample_and_update_against_uniform(compare, data, name: str, make, n_step: int) -> None:
    errors = np.random.default_rng(1).random(BATCH, dtype=np.float32)
    mine, uniform = (learn_from(ours(sampler, data, n_step), errors) for sampler in (make(), UniformSampler()))
    compare(f"sample + update, {n_step}-step returns, {name} : uniform", mine, uniform, 1000)


@pytest.mark.parametrize(("name", "make"), [("ReLo", ReLoSampler), (f"ReaPER, episodes of {EPISODE} steps", ReliabilitySampler)])
def test_sample_and_update_against_per(compare, data, name: str, make) -> None:
    errors = np.random.default_rng(1).random(BATCH, dtype=np.float32)
    mine, per = (learn_from(ours(sampler, data, n_envs=8), errors) for sampler in (make(SIZE), PrioritizedSampler(SIZE)))
    compare(f"sample + update, {name} : PER", mine, per, 1000)
