"""Whole small runs in which labels lead to priorities in other ways than the paper's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.test_train import small
from vlmrb.analysis.comparison import method_of
from vlmrb.checkpoint import load_checkpoint
from vlmrb.labels import LabelRule
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.store import Store
from vlmrb.train import resume, train

OPTIONS = {
    "env": "MiniGrid-Empty-5x5-v0",
    "sync_scoring": True,
    "lambda_warmup": 0.1,
    "strata": True,
    "enrichment": 3.0,
    "first_in_episode": True,
    "net_progress": True,
    "credit": 0.5,
    "lambda_from": "first-success",
    "lambda_falls": True,
    "log_interval": 100,
}


@pytest.fixture
def store(tmp_path: Path):
    with Store(str(tmp_path / "store.db")) as opened:
        yield opened


def test_all_options_together_train_and_repeat_exactly(store: Store) -> None:
    first, second = (train(small(**OPTIONS), store=store).run_id for _ in range(2))
    names = ("train/td_loss", "replay/vlm_weight", "replay/vlm_share", "replay/yes_share")
    for name in names:
        for ours, theirs in zip(store.metrics(first, name), store.metrics(second, name), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    (steps, weights), (_, shares) = (store.metrics(first, name) for name in names[1:3])
    success = min(episode.step for episode in store.episodes(first) if episode.success)
    assert (weights[steps <= success] == 0).all() and 0 < weights.max() <= 0.5
    assert (shares <= weights + 1e-12).all() and shares.max() > 0
    replays = [found for clip in store.clips(first) if (found := store.clip_replay(clip.clip_id)) is not None]
    assert 0 < max(replay.vlm_probability for replay in replays) <= 0.5
    words = "strata, first in episode, net progress, credit 0.5"
    assert words in method_of(store.run(first)).label
    assert "λ from first success, λ falls" in method_of(store.run(first)).label


def test_a_resumed_run_knows_its_first_success_and_the_labels_of_open_episodes(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)

    def stop(step: int, total: int, figures: object) -> None:
        if step >= 800:
            store.request_change(1, "stop")

    assert train(small(**OPTIONS), store=store, progress=stop).status == "stopped"
    state, _, arrays = load_checkpoint(store.folder_of_run(1) / "checkpoints")
    success = min(episode.step for episode in store.episodes(1) if episode.success)
    assert state["numbers"]["buffer.sampler.first_success"] == success
    assert state["label_rule"] and {"buffer.sampler.vlm_priorities", "buffer.sampler.slots_hold"} <= set(arrays)
    taken = []
    for part, seen in ((LabelRule, lambda rule: rule.state_dict()), (MixtureSampler, lambda sampler: sampler.first_success)):

        def load(self, state, restore=part.load_state_dict, seen=seen) -> None:
            restore(self, state)
            taken.append(seen(self))

        monkeypatch.setattr(part, "load_state_dict", load)
    assert resume(1, store=store).status == "finished"
    assert success in taken and state["label_rule"] in taken
    steps, weights = store.metrics(1, "replay/vlm_weight")
    assert (weights[steps > success] > 0).any()
