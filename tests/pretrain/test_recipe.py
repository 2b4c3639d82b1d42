"""The recipe: the same seed gives the same model, interrupted or not, and a short training learns something."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pretrain.footage import put_learners
from vlmrb.__main__ import main
from vlmrb.errors import CheckpointError, ConfigError
from vlmrb.pretrain.calibration import SEED, best_offset, calibrate, keep
from vlmrb.pretrain.evaluation import evaluate, record
from vlmrb.pretrain.exam import HeldOut
from vlmrb.pretrain.grids import exam
from vlmrb.pretrain.grids.learners import load_clips, prepare
from vlmrb.pretrain.learning import Learner, clips_of
from vlmrb.pretrain.model import ModelShape
from vlmrb.pretrain.recipe import PretrainProgress, Recipe, pretrain
from vlmrb.pretrain.suites import SUITES
from vlmrb.scoring.hf import HFScorer
from vlmrb.scoring.offsets import OFFSETS_FILE
from vlmrb.types import Clip, Prompt, ScoringRequest

TINY = ModelShape(frames=4, vision_width=32, vision_layers=1, text_width=32, text_layers=2, text_heads=2)
SHORT = Recipe(clips=40, batch=4, questions=3, shape=TINY)


def clip_of(frames: np.ndarray) -> Clip:
    return Clip(0, 0, 0, np.arange(len(frames)), frames, np.zeros(len(frames), np.float32), (), "length")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PretrainProgress]]:
    folder, reports = put_learners(tmp_path_factory.mktemp("made") / "model"), []
    pretrain(SHORT, folder, device="cpu", workers=0, report=reports.append, report_every=1)
    return folder, reports


def test_training_goes_through_its_three_stages_and_writes_a_model(made) -> None:
    folder, reports = made
    assert [math.isnan(progress.answer) for progress in reports[:10]] == [True] * 4 + [False] * 6
    assert reports[-1].share == 1.0
    assert reports[-1].clips == 40
    assert (folder / "model.safetensors").exists()
    assert "40 clips" in (folder / "README.md").read_text()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_with_worker_processes_and_with_none(made, tmp_path) -> None:
    pretrain(SHORT, put_learners(tmp_path / "again"), device="cpu", workers=2)
    again = weights(tmp_path / "again")
    assert all(torch.equal(value, again[name]) for name, value in weights(made[0]).items())


def test_training_leaves_the_handling_of_denormal_numbers_as_it_was(made) -> None:
    assert float(torch.tensor(1e-40) * 1) > 0  # hypothesis and NumPy rely on them


def test_another_seed_gives_other_weights(made, tmp_path) -> None:
    pretrain(replace(SHORT, seed=1, clips=8), put_learners(tmp_path / "other"), device="cpu", workers=0)
    other = weights(tmp_path / "other")
    assert not all(torch.equal(value, other[name]) for name, value in weights(made[0]).items())


def test_an_interrupted_training_resumes_only_with_its_own_recipe_and_ends_with_the_same_weights(made, tmp_path) -> None:
    def interrupt(progress: PretrainProgress) -> None:
        if progress.clips == 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(SHORT, put_learners(tmp_path / "model"), device="cpu", workers=0, report=interrupt, report_every=1)
    assert not (tmp_path / "model" / "model.safetensors").exists()
    with pytest.raises(CheckpointError, match="another recipe"):
        pretrain(replace(SHORT, seed=5), tmp_path / "model", device="cpu", workers=0, resume=True)
    with pytest.raises(ConfigError, match="unfinished training"):
        pretrain(SHORT, tmp_path / "model", device="cpu", workers=0)
    pretrain(SHORT, tmp_path / "model", device="cpu", workers=0, resume=True)
    assert not (tmp_path / "model" / "training").exists()
    resumed = weights(tmp_path / "model")
    assert all(torch.equal(value, resumed[name]) for name, value in weights(made[0]).items())


def test_training_does_not_start_over_a_finished_model(made) -> None:
    with pytest.raises(ConfigError, match="another --out"):
        pretrain(SHORT, made[0], device="cpu", workers=0)


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        pretrain(SHORT, tmp_path, device="cpu", workers=0, resume=True)


@pytest.mark.parametrize("wrong", [{"clips": 3}, {"clips": None}, {"hours": 1.0}, {"clips": None, "hours": 0.0}])
def test_a_recipe_out_of_range_is_refused(wrong) -> None:
    with pytest.raises(ConfigError, match=r"--clips|--hours"):
        replace(SHORT, **wrong)


@pytest.fixture
def quick_exam(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exam whose agents learn for a moment."""
    monkeypatch.setattr(exam, "_LEARNERS", (Learner("DoorKey-5x5", 600),))


@pytest.mark.slow
def test_an_evaluation_has_every_figure_for_every_question_and_is_kept_with_the_model(made, quick_exam, tmp_path) -> None:
    found = evaluate(made[0], clips=20, device="cpu")
    assert [entry.question for entry in found.questions[:3]] == ["games", "manipulation", "progress"]
    assert {entry.n for entry in found.questions} == {20}
    progress = found.questions[3]
    assert list(progress.by_env) == ["DoorKey-5x5", "DoorKey-6x6", "DoorKey-8x8", "DoorKey-12x12", "DoorKey-16x16"]
    assert progress.agreement.auc is not None
    assert progress.held_out.auc is not None
    assert progress.held_out_opposite.auc is not None
    assert progress.opposite_differs is not None
    assert set(found.visuals) == {"swapped", "abstract"}
    assert found.clips_per_second > 0
    folder = shutil.copytree(made[0], tmp_path / "model")
    record(found, folder)
    often = {entry.question for entry in found.questions[3:] if entry.agreement.truth_rate >= 0.5}
    kept = json.loads((folder / "measured.json").read_text(encoding="utf-8"))
    assert often and set(kept) == often and all(set(row) == {"precision", "recall"} for row in kept.values())


@pytest.mark.slow
def test_thresholds_are_found_on_other_clips_than_an_exams_and_kept_with_the_model(
    made, quick_exam, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(exam, "_SIZES", (5,))
    asked = []

    class Watched(exam.DoorKeyExam):
        def held_out(self, clips: int, seed: int) -> list[HeldOut]:
            asked.append(seed)
            return super().held_out(clips, seed)

    monkeypatch.setitem(SUITES, "grids", replace(SUITES["grids"], exam=Watched))
    monkeypatch.setattr("vlmrb.pretrain.calibration.best_offset", lambda logits, truths: -float(np.median(logits)))
    folder = shutil.copytree(made[0], tmp_path / "model")
    found = calibrate(folder, clips=40, device="cpu")
    assert found["Does the agent go to a key?"] == found["Does the agent walk up to a red key?"] != 0.0
    keep(found, 40, folder)
    assert json.loads((folder / OFFSETS_FILE).read_text(encoding="utf-8")) == {"clips": 40, "offsets": found}
    assert calibrate(folder, clips=40, device="cpu") == pytest.approx(found, abs=0.011), "what it has is not added twice"
    evaluate(folder, clips=10, device="cpu")
    assert asked[0] == asked[1] == SEED != asked[2]
    assert not {item.clip.snapshots.tobytes() for item in exam.DoorKeyExam(4).held_out(10, asked[0])} & {
        item.clip.snapshots.tobytes() for item in exam.DoorKeyExam(4).held_out(10, asked[2])
    }


@pytest.mark.parametrize(
    ("false", "true", "offset"),
    [
        ([-3.0] * 20, [3.0] * 20, 0.0),  # as good as can be
        ([-3.0] * 20, [-1.0] * 20, 2.0),  # all that is true is missed: the middle of −3 and −1
        ([1.0] * 20, [3.0] * 20, -2.0),  # all that is false is found
        ([1.0] * 20 + [5.0], [3.0] * 20, -2.0),  # a yes too many is better than none
        ([-90.0] * 20, [-80.0] * 20, 10.0),  # within bounds
        ([-3.0] * 9, [3.0] * 20, None),
        ([-3.0] * 20, [3.0] * 9, None),
        ([], [], None),
    ],
)
def test_a_threshold_is_where_the_smaller_of_precision_and_recall_is_largest(false, true, offset) -> None:
    assert best_offset([*false, None, *true], [*([False] * len(false)), True, *([True] * len(true))]) == offset


@pytest.mark.slow
def test_the_command_measures_a_folder_in_tables_and_in_json(made, capsys, quick_exam) -> None:
    options = ["pretrain", "--evaluate", str(made[0]), "--clips", "10", "--quiet", "--device", "cpu"]
    assert main(options) == 0
    printed = capsys.readouterr().out
    assert "| Does the agent reach the goal? | 10 |" in printed
    assert "clips per second" in printed
    assert main([*options, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["questions"]) == 15


def test_the_command_trains_and_refuses_to_overwrite(tmp_path, capsys) -> None:
    folder = put_learners(tmp_path / "model")
    assert (
        main(["pretrain", "--out", str(folder), "--clips", "32", "--workers", "0", "--quiet", "--device", "cpu", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["progress"]["clips"] == 32
    assert main(["pretrain", "--out", str(folder), "--clips", "32", "--quiet"]) == 2
    assert "another --out" in capsys.readouterr().err


def test_a_training_goes_on_from_an_earlier_model_of_fewer_frames_and_words(made, tmp_path) -> None:
    longer = replace(SHORT, shape=replace(TINY, frames=6), start=str(made[0]), clips=100, learning_rate=0.0)
    reports: list[PretrainProgress] = []
    pretrain(longer, put_learners(tmp_path / "more"), device="cpu", workers=0, report=reports.append, report_every=1)
    assert [math.isnan(progress.answer) for progress in reports[:3]] == [True, True, False], "first the heads, then the answers"
    before, after = (HFScorer(str(folder), scorer="hf:x") for folder in (made[0], tmp_path / "more"))
    still = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8), 6, axis=0)
    scores = [
        scorer.score(
            [ScoringRequest(clip_of(frames), frames, tuple(range(len(frames))))], Prompt("custom", 1, "Is there a key?")
        )[0]
        for scorer, frames in ((before, still[:4]), (after, still))
    ]
    assert scores[1].probability == pytest.approx(scores[0].probability, abs=0.02), "what does not move is seen as before"


def test_a_training_cannot_go_on_from_what_is_no_such_model(made, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"--start .*empty holds no embedded model"):
        pretrain(replace(SHORT, start=str(tmp_path / "empty")), put_learners(tmp_path / "a"), device="cpu", workers=0)
    wider = replace(SHORT, start=str(made[0]), shape=replace(TINY, text_width=64))
    with pytest.raises(ConfigError, match="a model of another shape"):
        pretrain(wider, put_learners(tmp_path / "b"), device="cpu", workers=0)
    assert not list(tmp_path.glob("*/training/recipe.json")), "nothing is begun"


def test_clips_of_agents_that_learn_are_those_of_a_real_run_and_kept(tmp_path, monkeypatch) -> None:
    short = (Learner("MiniGrid-Unlock-v0", 1_000), Learner("MiniGrid-Empty-5x5-v0", 1_000, "uniform", "iqn"))
    monkeypatch.setattr("vlmrb.pretrain.grids.learners.LEARNERS", short)
    monkeypatch.setattr("vlmrb.pretrain.grids.learners.CLIPS", 12)
    shares: list[float] = []
    prepare(tmp_path, 3, 0, shares.append)
    assert shares == [0.5, 1.0]
    kept = load_clips(tmp_path)
    assert [env for env, _ in kept] == [learner.env for learner in short for _ in range(12)]
    for (_, clip), own in zip(kept, clips_of(short[0], 3, 12), strict=False):
        assert clip.events == own.events
        np.testing.assert_array_equal(clip.snapshots, own.snapshots)
    prepare(tmp_path, 3, 0, shares.append)
    assert shares == [0.5, 1.0], "nothing is trained again"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_short_training_learns_to_see_and_to_read_questions(tmp_path) -> None:
    reports: list[PretrainProgress] = []
    pretrain(Recipe(clips=6000), tmp_path / "model", report=reports.append, report_every=20)
    assert reports[-1].see < 0.7 * reports[0].see
    assert reports[-1].seen > 0.7
    reading = [progress.read for progress in reports if not math.isnan(progress.read)]
    assert reading[-1] < 0.6 * reading[0]
    assert HFScorer(str(tmp_path / "model"), scorer="hf:short").frames_per_clip == Recipe(clips=6000).shape.frames
