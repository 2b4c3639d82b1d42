"""Runs whose clips are text, from the environment to labels, commands and pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.toy_texts import goal_server, save_goal_reader
from vlmrb.__main__ import main
from vlmrb.config import make_config
from vlmrb.envs import make_renderer
from vlmrb.errors import ConfigError, ScorerSetupError, StoreCorruptError
from vlmrb.playback import Playback
from vlmrb.rescoring import choose_clips, create_trial, run_trial
from vlmrb.scoring import ScorerOptions, make_scorer, resolve_prompt
from vlmrb.store import Store
from vlmrb.train import resume, train
from vlmrb.types import ScoringRequest

COMMON = {"env": "FrozenLake-v1", "transcript": "ansi", "total_steps": 1_000, "learning_starts": 1_000, "n_envs": 4, "seed": 4,
          "batch_size": 16, "hidden_size": 16, "eval_interval": 1_000, "eval_episodes": 1, "buffer_size": 4_000, "clip_length": 8,
          "scoring_queue_size": 5_000, "scoring_batch_size": 32, "prompt": "Does the agent reach the goal?"}  # fmt: skip
"""An agent that plays at random reaches the goal in one of 70 episodes."""

NO_FRAMES = np.zeros((0, 0, 0, 3), np.uint8)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run of FrozenLake (1) whose clips a server has labelled from their text."""
    path = tmp_path_factory.mktemp("text") / "runs.db"
    with Store(str(path)) as store, goal_server() as scorer:
        result = train(make_config(**COMMON, scorer=scorer), store=store)
    assert (result.status, result.unknown, result.dropped) == ("finished", 0, 0)
    return path


def labels_by_control(store: Store, run_id: int, control: str) -> tuple[list, list]:
    """The labels that a run's clips have, and those of a control scorer."""
    ids = [clip.clip_id for clip in choose_clips(store, run_id)]
    requests = [ScoringRequest(clip, NO_FRAMES, ()) for clip in store.load_clips(ids)]
    control_scores = make_scorer(control, ScorerOptions()).score(requests, resolve_prompt("games"))
    return [clip.score and clip.score.label for clip in store.clip_summaries(ids)], [score.label for score in control_scores]


@pytest.mark.parametrize("control", ["reward", "oracle"])
def test_labels_from_the_words_of_a_transcript_are_those_of_the_reward(labelled: Path, control: str) -> None:
    with Store(str(labelled)) as store:
        from_text, from_truth = labels_by_control(store, 1, control)
        assert from_text == from_truth and len(from_text) > 100
        assert 0 < sum(from_text) < len(from_text), "both labels must occur for this to prove anything"
        [score] = store.scores(store.clips(1, limit=1)[0].clip_id)
        assert score.model == "rule" and score.prompt_id is not None and score.frame_indices


@pytest.mark.slow
def test_a_language_model_in_a_folder_labels_a_run_as_the_reward_does(tmp_path: Path) -> None:
    folder = save_goal_reader(tmp_path / "model")
    with Store(str(tmp_path / "runs.db")) as store:
        train(make_config(**COMMON, scorer=f"hf:{folder}"), store=store)
        from_text, from_reward = labels_by_control(store, 1, "reward")
        assert from_text == from_reward and 0 < sum(from_text) < len(from_text)


def test_clips_of_text_are_not_scored_again_by_a_model_of_pictures(labelled: Path, capsys) -> None:
    words = "'embedded' knows pictures of its own world alone, and these clips are text"
    with Store(str(labelled)) as store, pytest.raises(ScorerSetupError, match=words):
        create_trial(store, run_ids=[1], scorer="embedded", prompt="games")
    assert main(["score", "1", "--scorer", "embedded", "--store", str(labelled)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_text_is_resumed_and_its_clips_are_scored_again(tmp_path: Path) -> None:
    with Store(str(tmp_path / "runs.db")) as store, goal_server() as scorer:
        values = COMMON | {"transcript": "{step}: {obs} {reward:.0f}", "total_steps": 400, "learning_starts": 100}
        run_id = train(make_config(**values, scorer="reward"), store=store).run_id
        with store._write() as connection:
            from sqlalchemy import update

            from vlmrb.store import tables

            longer = store.run(run_id).config | {"total_steps": 800}
            connection.execute(update(tables.runs).values(config=longer, status="stopped"))
        assert resume(run_id, store=store).status == "finished"
        trial = create_trial(store, run_ids=[run_id], scorer=scorer, prompt="Is it there?", sample=5)
        run_trial(store, trial)
        assert [score.label for score in store.trial_scores(trial)] == [False] * 5  # no [G] in lines of numbers


def test_the_text_of_a_clip_is_kept_and_drawn(labelled: Path) -> None:
    with Store(str(labelled)) as store:
        playback = Playback(store)
        clip = next(clip for clip in choose_clips(store, 1) if clip.score.label and clip.length > 1)
        texts = playback.texts(clip.clip_id)
        assert len(texts) == clip.length and "[G]" in texts[-1]
        assert texts == make_renderer(store.run(1).render_spec).texts(store.clip_snapshots(clip.clip_id))
        for sheet, side in ((playback.thumbnail(clip.clip_id), 112), (playback.sheet(clip.clip_id), 640)):
            with Image.open(io.BytesIO(sheet.data)) as picture:
                assert picture.size[0] == sheet.columns * sheet.width
            assert max(sheet.width, sheet.height) <= side and sheet.frames == clip.length
        with av.open(io.BytesIO(playback.mp4(clip.clip_id))) as video:
            assert sum(1 for _ in video.decode(video=0)) == clip.length


def test_frames_of_one_video_have_one_size_however_the_length_of_its_text_changes(tmp_path: Path) -> None:
    from tests.recorded import store_clips
    from vlmrb.transcripts import pack
    from vlmrb.types import CLIPS_PER_RUN, Clip

    texts = [pack("x" * (1 + at)) for at in range(70)]
    snapshots = np.stack([np.pad(text, (0, 70 - len(text))) for text in texts])
    with Store(str(tmp_path / "runs.db")) as store:
        clip = Clip(1, 0, 0, np.arange(70), snapshots, np.zeros(70, np.float32), (), "length")
        clip_id = store_clips(store, [clip], {"kind": "text"}) * CLIPS_PER_RUN
        with av.open(io.BytesIO(Playback(store).mp4(clip_id))) as video:
            assert len({(frame.width, frame.height) for frame in video.decode(video=0)}) == 1
        assert Playback(store).texts(clip_id)[-1] == "x" * 70


def test_a_clip_of_pictures_has_no_text_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    from tests.recorded import record_frames
    from vlmrb.types import CLIPS_PER_RUN

    with Store(str(tmp_path / "runs.db")) as store:
        run_id = record_frames(store, [np.zeros((3, 40, 40, 3), np.uint8)])
        assert Playback(store).texts(run_id * CLIPS_PER_RUN) is None
        with store._write() as connection:
            from sqlalchemy import update

            from vlmrb.store import tables

            connection.execute(update(tables.runs).values(render_spec={"kind": "text"}))
        with pytest.raises(StoreCorruptError):
            Playback(store).texts(run_id * CLIPS_PER_RUN)
        with pytest.raises(StoreCorruptError, match="is damaged"):
            Playback(store).sheet(run_id * CLIPS_PER_RUN)


def test_the_command_for_a_clip_prints_its_text(labelled: Path, capsys) -> None:
    with Store(str(labelled)) as store:
        clip = next(clip for clip in choose_clips(store, 1) if clip.score.label)
    assert main(["clip", str(clip.clip_id), "--store", str(labelled)]) == 0
    printed = capsys.readouterr().out
    assert f"step {clip.length} of {clip.length}:\n" in printed and "[G]" in printed and "\x1b" not in printed
    assert main(["clip", str(clip.clip_id), "--store", str(labelled), "--json"]) == 0
    transcript = json.loads(capsys.readouterr().out)["transcript"]
    assert len(transcript) == clip.length and "[G]" in transcript[-1]


def test_a_branch_keeps_the_kind_of_its_parents_clips(tmp_path: Path) -> None:
    from vlmrb.branching import branch

    with Store(str(tmp_path / "runs.db")) as store:
        values = COMMON | {"total_steps": 200, "keep_checkpoints": "every:100"}
        run_id = train(make_config(**values, scorer="reward"), store=store).run_id
        with pytest.raises(ConfigError, match=r"transcript: a branch cannot change it: .*pictures or text"):
            branch(store, run_id, 100, [{"transcript": None}], steps=50)
        assert len(branch(store, run_id, 100, [{"scorer": "oracle"}], steps=50)) == 1
