"""Numbers that are none: they end the run at their step, and neither buffer, nor checkpoint, nor store holds any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.odd_environments import env_id
from vlmrb.checkpoint import load_checkpoint
from vlmrb.config import TrainConfig, make_config
from vlmrb.errors import DivergedError, EnvironmentFailedError
from vlmrb.replay import ReplayBuffer, make_sampler
from vlmrb.store import Store
from vlmrb.train import train
from vlmrb.train.finite import check_metrics, check_networks
from vlmrb.types import Feedback, ObservationSpec, Transition


def short(name: str, **settings: object) -> TrainConfig:
    values = {"replay": "per", "scorer": None, "keep_clips": False, "total_steps": 120, "n_envs": 2, "learning_starts": 8,
              "batch_size": 8, "hidden_size": 8, "eval_interval": 1_000, "eval_episodes": 1, "log_interval": 10,
              "checkpoint_interval": 20, "buffer_size": 500}  # fmt: skip
    return make_config(**{**values, "env": env_id(name), **settings})


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def assert_all_finite(store: Store) -> None:
    """In the newest checkpoint and in the store."""
    loaded = load_checkpoint(store.folder_of_run(1) / "checkpoints")
    assert loaded is not None
    _, tensors, arrays = loaded
    check_networks(tensors)
    assert all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f")
    for name in store.metric_names(1):
        assert np.isfinite(store.metrics(1, name)[1]).all(), name
    assert all(np.isfinite(episode.episodic_return) for episode in store.episodes(1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NanReward", "the reward is nan"),
        ("InfiniteReward", "the reward is -inf"),
        ("LargeReward", r"the reward is 1e\+300"),
        ("NoReward", "the reward is None; it must be one number"),
        ("TwoRewards", r"the reward is \[1. 2.\]; it must be one number"),
        ("NanObservation", r"observation\[1\] is nan"),
        ("LargeObservation", r"observation\[0\] is inf"),
        ("InfiniteStart", r"observation\[0\] is inf"),
    ],
)
def test_an_environment_that_gives_no_number_ends_the_run_at_that_step(store: Store, name: str, value: str) -> None:
    with pytest.raises(
        EnvironmentFailedError, match=rf"{name}-v0, step 5\d: environment 1 of 2, episode with seed \d+: {value}"
    ) as told:
        train(short(name), store=store)
    run = store.run(1)
    assert (run.status, run.error) == ("failed", str(told.value)) and "the last checkpoint is of step 40" in run.error
    assert 50 < run.step < 62
    assert_all_finite(store)


def test_a_number_that_is_none_in_evaluation_alone_is_told_too(store: Store) -> None:
    with pytest.raises(EnvironmentFailedError, match="step 60: evaluation, episode with seed 1073741824: the reward is nan"):
        train(short("HeldOutNan", eval_interval=60), store=store)
    assert store.run(1).status == "failed" and store.metrics(1, "eval/episodic_return")[0].size == 0


@pytest.mark.parametrize("replay", ["uniform", "per", "laber"])
def test_learning_that_overflows_ends_the_run_before_it_is_saved(store: Store, replay: str) -> None:
    with pytest.raises(DivergedError, match=r"LargestRewards-v0, step \d+: .* is -?(inf|nan)\. .*lower learning_rate"):
        train(short("LargestRewards", replay=replay), store=store)
    assert store.run(1).status == "failed"
    assert_all_finite(store)


def test_networks_and_losses_that_are_no_numbers_are_found() -> None:
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(2)).sum().backward()
    optimizer.step()
    check_networks({"online": layer.state_dict(), "optimizer": optimizer.state_dict(), "updates": 3})
    optimizer.state[layer.bias]["exp_avg_sq"][0] = float("inf")
    with pytest.raises(DivergedError, match=r"optimizer.*exp_avg_sq is inf"):
        check_networks({"online": layer.state_dict(), "optimizer": optimizer.state_dict()})
    check_metrics({"train/td_loss": 0.0})
    with pytest.raises(DivergedError, match="train/td_loss is nan"):
        check_metrics({"train/mean_q": 1.0, "train/td_loss": float("nan")})


def filled(replay: str, **settings: object) -> ReplayBuffer:
    config = make_config(env="CartPole-v1", replay=replay, scorer="oracle" if replay == "vlm" else None, **settings)
    buffer = ReplayBuffer(16, ObservationSpec("vector", (1,), "float32"), make_sampler(config, 16), np.random.default_rng(0))
    for number in range(16):
        one = np.full((1, 1), number, np.float32)
        ended = np.array([number % 4 == 3])
        buffer.add(Transition(one, np.zeros(1, np.int64), np.ones(1, np.float32), one, ended, np.zeros(1, bool)))
    if replay == "vlm":
        buffer.apply_label(np.arange(8), np.array([1.0]))
    return buffer


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize(
    ("replay", "settings"),
    [("per", {}), ("reaper", {}), ("relo", {}), ("laber", {}), ("vlm", {"td_boost": True, "lambda_warmup": 0.0}),
     ("vlm", {"td_boost": True, "base": "per", "lambda_warmup": 0.0})],
)  # fmt: skip
def test_no_priority_is_ever_infinite(replay: str, settings: dict, wrong: float) -> None:
    errors = np.array([1.0, wrong, 2.0], np.float32)
    item_ids, feedback = np.arange(3), Feedback(errors, errors if replay == "relo" else None)
    buffer = filled(replay, **settings)
    if hasattr(buffer.sampler, "feedback"):
        with pytest.raises(DivergedError, match=f"is {wrong}"):
            buffer.update_priorities(item_ids, feedback)
        buffer.sampler.feedback(item_ids, feedback)  # a sampler on its own
    scores = [np.resize(errors, 999)]
    with pytest.raises(DivergedError) if replay == "laber" else np.errstate():
        buffer.sample(4, lambda batch: scores[0][: len(batch.actions)])
    scores[0] = np.ones(999, np.float32)
    one = np.zeros((1, 1), np.float32)
    buffer.add(Transition(one, np.zeros(1, np.int64), np.ones(1, np.float32), one, np.zeros(1, bool), np.zeros(1, bool)))
    chances = buffer.sampler.chances(np.arange(16), 16)
    assert np.isfinite(chances).all() and chances.sum() == pytest.approx(1.0)
    assert np.isfinite(buffer.sample(4, lambda batch: scores[0][: len(batch.actions)]).probabilities).all()
