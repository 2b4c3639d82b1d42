"""(a) Replay with 1,000,000 items of two 150-byte observations and batches of 256, versus cpprb and tianshou."""

from __future__ import annotations

import numpy as np
import pytest

from vlmrb.replay import MixtureSampler, PrioritizedSampler, ReplayBuffer, UniformSampler
from vlmrb.types import ObservationSpec, Transition

pytestmark = pytest.mark.bench

SIZE, BATCH, CHUNK = 1_000_000, 256, 1_000


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "observation": rng.integers(0, 11, (CHUNK, 150), dtype=np.uint8),
        "action": rng.integers(0, 7, CHUNK),
        "reward": rng.random(CHUNK, dtype=np.float32),
        "ended": np.zeros(CHUNK, bool),
        "priorities": rng.random(SIZE) + 0.01,
    }


def ours(sampler, data) -> ReplayBuffer:
    buffer = ReplayBuffer(SIZE, ObservationSpec("grid", (150,), "uint8"), sampler, np.random.default_rng(0), n_envs=CHUNK)
    step = Transition(data["observation"], data["action"], data["reward"], data["observation"], data["ended"], data["ended"])
    for first in range(0, SIZE, CHUNK):
        ids = buffer.add(step)
        buffer.update_priorities(ids, data["priorities"][first : first + CHUNK])
        if first % 5_000 == 0:
            buffer.apply_score(ids, 1.0)
    return buffer


def learn_from(buffer: ReplayBuffer, errors: np.ndarray):
    def once() -> None:
        batch = buffer.sample(BATCH)
        buffer.update_priorities(batch.item_ids, errors)

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


def test_mixture_sample_against_uniform(compare, data) -> None:
    mixture, uniform = ours(MixtureSampler(SIZE, 0.5), data), ours(UniformSampler(), data)
    compare("sample, VLM mixture : uniform", lambda: mixture.sample(BATCH), lambda: uniform.sample(BATCH), 1000)
