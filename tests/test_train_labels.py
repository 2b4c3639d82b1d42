"""Whole small runs in which labels lead to priorities in other ways than the paper's."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.scoring.test_openai import Server, completion, reply
from tests.test_train import small
from vlmrb.__main__ import main
from vlmrb.analysis.comparison import method_of
from vlmrb.checkpoint import load_checkpoint
from vlmrb.config import make_config
from vlmrb.errors import ConfigError, EnvironmentSetupError
from vlmrb.labels import LabelRule
from vlmrb.replay.methods.vlm import MixtureSampler
from vlmrb.store import Store
from vlmrb.train import resume, train
from vlmrb.types import ClipFilter

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

    assert train(small(**OPTIONS, keep_clips=True), store=store, progress=stop).status == "stopped"
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
    with closing(sqlite3.connect(store.url)) as connection:  # as if another model had scored so far
        connection.execute("UPDATE scores SET model = 'yesterday'")
        connection.commit()
    assert resume(1, store=store).status == "finished"
    assert "labels come from another model: oracle (no revision), before: yesterday" in store.run(1).counters.prompt_notice
    assert success in taken and state["label_rule"] in taken
    steps, weights = store.metrics(1, "replay/vlm_weight")
    assert (weights[steps > success] > 0).any()


def test_a_run_whose_scorer_answers_nothing_says_so(store: Store, monkeypatch, caplog, capsys) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    server.script = [reply(completion(None, text=""))]  # no logprobs
    warnings: set[str] = set()
    options = {"scorer": f"openai:{server.url}#m", "sync_scoring": True, "total_steps": 240, "scorer_frames": 1}
    result = train(small(**options), store=store, progress=lambda *now: warnings.add(now[2].warning))
    server.shutdown()
    server.server_close()
    counters = store.run(1).counters
    assert result.status == "finished" and counters.unknown == counters.clips_scored > 20
    count = counters.clips_scored
    notice = (
        f"the scorer gave no usable answer about {count} of {count} clips (100 %); without labels, replay is that of its base: "
    )
    assert counters.unknown_notice.startswith(f"{notice}the server's reply contains no logprobs; it must support")
    assert any(words.startswith("the scorer gives no usable answer about most clips") for words in warnings)
    assert len(warnings) <= 2, "a warning without figures comes once"
    [told] = [words for words in caplog.messages if "no logprobs" in words]
    assert told.startswith("clip ")
    main(["show", "1", "--store", store.url])
    assert f"warning: {notice}" in capsys.readouterr().out


@pytest.mark.parametrize("overlap", ["max", pytest.param("mean", marks=pytest.mark.slow)])
def test_runs_with_overlapping_clips_repeat_resume_and_store_each_frame_once(store: Store, overlap: str) -> None:
    steps = {"total_steps": 800, "sync_scoring": True, "clip_length": 8}
    settings = {**steps, "clip_stride": 3, "overlap": overlap, "lambda_warmup": 0.0}
    first, second = (train(small(**settings), store=store).run_id for _ in range(2))
    np.testing.assert_array_equal(store.metrics(first, "train/td_loss"), store.metrics(second, "train/td_loss"))
    plain = train(small(**steps, keep_clips=True), store=store).run_id
    with closing(sqlite3.connect(store.url)) as connection:
        shapes = dict.fromkeys((first, plain), 0)
        query = "SELECT clips.run_id, clip_data.shape FROM clip_data JOIN clips USING (clip_id)"
        for run_id, shape in connection.execute(query):
            if run_id in shapes:
                shapes[run_id] += json.loads(shape)[0]
    assert shapes == {first: 800, plain: 800}
    seen: dict[int, np.ndarray] = {}
    for summary in store.clips(first, limit=10_000, order="oldest"):
        clip = store.load_clip(summary.clip_id)
        np.testing.assert_array_equal(clip.snapshots, store.clip_snapshots(summary.clip_id))
        for item, picture in zip(clip.item_ids.tolist(), clip.snapshots, strict=True):
            np.testing.assert_array_equal(seen.setdefault(item, picture), picture)
    assert len(seen) == 800


@pytest.mark.slow
def test_a_killed_run_with_overlapping_clips_loses_no_frame(store: Store, monkeypatch) -> None:
    def break_down(step: int, *_: object) -> None:
        if step >= 1_000:
            raise RuntimeError("power failure")

    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    settings = {"clip_length": 8, "clip_stride": 2, "total_steps": 1_600}
    with pytest.raises(RuntimeError, match="power failure"):
        train(small(**settings), store=store, progress=break_down)
    resume(1, store=store)
    covered: set[int] = set()
    for summary in store.clips(1, limit=10_000, superseded=True):
        clip = store.load_clip(summary.clip_id)
        assert len(clip.snapshots) == len(clip) == summary.length
        covered |= set() if summary.superseded else set(clip.item_ids.tolist())
    assert covered == set(range(1_600))
    assert any(summary.superseded for summary in store.clips(1, limit=10_000, superseded=True))


@pytest.mark.parametrize("stride", [0, 33, -1, "x"])
def test_a_stride_that_leaves_steps_out_is_refused(stride: object) -> None:
    with pytest.raises(ConfigError, match=r"clip_stride: .*(allowed: 1 to|above clip_length 32)"):
        make_config(clip_stride=stride)


def test_a_run_by_vote_stores_every_vote_and_survives_a_voter_that_goes_down(store: Store, monkeypatch, caplog, capsys) -> None:
    monkeypatch.setattr("vlmrb.train.trainer.HOUSEKEEPING_S", 0.0)
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yes = completion({"Yes": -0.1, "No": -2.4})
    server.script = [reply(yes)] * 10 + [reply({"error": {"message": "the key has expired"}}, status=401)]
    remote = f"openai:{server.url}#m"
    scorer = f"vote:oracle|random:0.5|{remote}@frames=2"
    result = train(small(scorer=scorer, sync_scoring=True, total_steps=240, scoring_batch_size=1), store=store)
    server.shutdown()
    server.server_close()
    scores = [clip.score for clip in store.clips(result.run_id, order="oldest", limit=100)]
    assert result.status == "finished" and len(scores) > 20 and all(score is not None for score in scores)
    assert {score.scorer for score in scores} == {scorer} and {score.error for score in scores} == {""}
    for at, score in enumerate(scores):
        oracle, by_chance, server_vote = score.votes
        assert [vote.member for vote in score.votes] == ["oracle", "random:0.5", f"{remote}@frames=2"]
        assert len(score.answers) == len(oracle.answers) == len(by_chance.answers) == 1
        assert (server_vote.answers[0] is not None) == (at < 10)
        voters = [vote.answers[0] for vote in score.votes if vote.answers[0] is not None]
        yes_votes = sum(answer >= 0.5 for answer in voters)
        assert score.label == (2 * yes_votes > len(voters) if 2 * yes_votes != len(voters) else sum(voters) / len(voters) >= 0.5)
    assert "the key has expired" in scores[-1].votes[2].error
    assert f"{remote}@frames=2 does not answer" in store.run(result.run_id).counters.prompt_notice
    [told] = [words for words in caplog.messages if "the key has expired" in words]
    assert told.startswith("clip ")
    assert method_of(store.run(result.run_id)).label.startswith("vlm (vote:oracle|random:0.5|openai:v1#m@frames=2")
    apart = store.find_clips(ClipFilter(min_spread=0.3), "spread")
    assert apart and [clip.score.spread for clip in apart] == sorted((clip.score.spread for clip in apart), reverse=True)
    clip_id = str(scores[0].clip_id)
    assert main(["clip", clip_id, "--store", store.url]) == 0
    assert f"by {remote}@frames=2" in capsys.readouterr().out
    assert main(["clips", "1", "--min-spread", "0.3", "--order", "spread", "--store", store.url, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [clip["spread"] for clip in listed] == [clip.score.spread for clip in apart[:50]]


def test_a_cascade_trains_and_a_wrong_panel_makes_no_run(store: Store) -> None:
    result = train(small(scorer="cascade:random:0.5|oracle@0.5", sync_scoring=True, total_steps=400), store=store)
    scores = [clip.score for clip in store.clips(result.run_id, limit=100)]
    assert result.status == "finished" and {len(score.votes) for score in scores} == {1}  # a control is never in doubt
    for wrong in ("vote:oracle", "cascade:oracle|oracle", "cascade:oracle|reward@0", "vote:oracle|vote:reward|oracle"):
        with pytest.raises(ConfigError, match=r"^scorer: got '"):
            train(small(scorer=wrong), store=store)
    assert len(store.runs()) == 1


def test_a_run_whose_scorer_looks_at_nothing_and_that_keeps_no_clips_draws_nothing_and_learns_the_same(store: Store) -> None:
    kept, bare = (train(small(sync_scoring=True, keep_clips=keep), store=store) for keep in (True, False))
    assert store.clips(bare.run_id) == []
    assert store.run(kept.run_id).counters.positive == store.run(bare.run_id).counters.positive > 0
    for name in ("train/td_loss", "replay/vlm_weight", "replay/yes_share"):
        np.testing.assert_array_equal(store.metrics(kept.run_id, name), store.metrics(bare.run_id, name))
    blind = {"env": "tests.odd_environments:NoPicture-v0", "scorer": "random:0.5", "sync_scoring": True, "total_steps": 400}
    with pytest.raises(EnvironmentSetupError):
        train(small(**blind, keep_clips=True), store=store)
    assert store.run(train(small(**blind, keep_clips=False), store=store).run_id).counters.positive > 0
