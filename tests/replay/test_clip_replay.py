"""What replay made of a clip when its score was applied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vlmrb.checkpoint import load_checkpoint
from vlmrb.config import TrainConfig, make_config
from vlmrb.replay import ReplayBuffer
from vlmrb.replay.methods.uniform import UniformSampler
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.store import Store
from vlmrb.train import train
from vlmrb.train.labelling import replay_of
from vlmrb.types import AgentUpdate, Batch, Clip, ClipReplay, ObservationSpec, Transition


def small(**settings: object) -> TrainConfig:
    values = {
        "env": "DoorKey-5x5",
        "scorer": "oracle",
        "sync_scoring": True,
        "total_steps": 800,
        "n_envs": 4,
        "learning_starts": 200,
        "batch_size": 16,
        "hidden_size": 16,
        "clip_length": 8,
        "eval_interval": 800,
        "eval_episodes": 2,
        "checkpoint_interval": 400,
        "buffer_size": 5_000,
    }
    return make_config(**{**values, **settings})


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


class Doubter:
    """An agent whose TD error of item i is −i."""

    def td_errors(self, batch: Batch) -> np.ndarray:
        return -batch.item_ids.astype(np.float32)

    def act(self, observation, step):
        raise NotImplementedError

    def best_action(self, observation):
        raise NotImplementedError

    def update(self, batch: Batch) -> AgentUpdate:
        raise NotImplementedError

    def state_dict(self):
        return {}

    def load_state_dict(self, state) -> None:
        pass


def clip(clip_id: int, item_ids: range) -> Clip:
    ids = np.array(item_ids)
    return Clip(clip_id, 0, 0, ids, np.zeros((len(ids), 1), np.uint8), np.zeros(len(ids), np.float32), (), "length")


def filled(sampler, capacity: int, steps: int) -> ReplayBuffer:
    buffer = ReplayBuffer(capacity, ObservationSpec("vector", (1,), "float32"), sampler, np.random.default_rng(0))
    one, no = np.zeros((1, 1), np.float32), np.zeros(1, bool)
    for _ in range(steps):
        buffer.add(Transition(one, np.zeros(1, int), np.zeros(1, np.float32), one, no, no))
    return buffer


def test_a_clip_is_judged_by_its_transitions_that_are_still_there() -> None:
    buffer = filled(MixtureSampler(10, UniformSampler(), 0.4), 10, 20)  # holds 10 … 19
    gone, partly, whole = clip(1, range(4)), clip(2, range(8, 12)), clip(3, range(12, 16))
    buffer.apply_label(whole.item_ids, np.ones(1))
    found = replay_of([gone, partly, whole], buffer, Doubter())
    assert [replay.clip_id for replay in found] == [2, 3]
    assert found[0] == ClipReplay(2, 20, 10.5, 0.4, 0.0, pytest.approx(0.6 * 2 / 10))
    assert found[1] == ClipReplay(3, 20, 13.5, 0.4, pytest.approx(0.4), pytest.approx(0.6 * 4 / 10))
    assert replay_of([gone], buffer, Doubter()) == []


def test_without_a_vlm_part_all_of_the_chance_is_in_the_other_part() -> None:
    assert replay_of([clip(7, range(5))], filled(UniformSampler(), 20, 20), Doubter()) == [
        ClipReplay(7, 20, 2.0, None, 0.0, pytest.approx(0.25))
    ]


@pytest.mark.parametrize("replay", ["vlm", "per"])
def test_every_scored_clip_of_a_run_has_its_record(store: Store, replay: str) -> None:
    run_id = train(small(replay=replay), store=store).run_id
    clips = store.clips(run_id, limit=10_000)
    assert len(clips) >= 100
    for summary in clips:
        record = store.clip_replay(summary.clip_id)
        assert summary.end_step < record.step <= 800 and record.td_error > 0
        assert (record.vlm_weight is None) == (replay == "per")
        if replay == "per" or not summary.score.label:
            assert record.vlm_probability == 0
        elif record.vlm_weight > 0:  # the warm-up of λ begins at 0
            assert record.vlm_probability > 0
        assert 0 < record.uniform_probability <= 1


@pytest.mark.parametrize("algo", ["dqn", "iqn"])
def test_a_run_learns_the_same_whether_or_not_its_clips_are_kept_and_measured(store: Store, algo: str) -> None:
    weights = []
    for keep_clips in (True, False):
        run_id = train(small(algo=algo, keep_clips=keep_clips), store=store).run_id
        _, tensors, _ = load_checkpoint(store.folder_of_run(run_id) / "checkpoints")
        weights.append(tensors)
        assert bool(store.td_errors_and_scores((run_id,))) == keep_clips
    for part in ("online", "target"):
        for name, tensor in weights[0][part].items():
            assert torch.equal(tensor, weights[1][part][name]), (part, name)
    assert torch.equal(weights[0]["generator"], weights[1]["generator"])
