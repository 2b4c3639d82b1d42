"""The recipe: the same seed gives the same model, interrupted or not, and a short training learns something."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vlmrb.__main__ import main
from vlmrb.errors import CheckpointError, ConfigError
from vlmrb.pretrain.evaluation import evaluate
from vlmrb.pretrain.model import ModelShape
from vlmrb.pretrain.recipe import PretrainProgress, Recipe, pretrain
from vlmrb.scoring.hf import HFScorer

TINY = ModelShape(frames=4, vision_width=32, vision_layers=1, text_width=32, text_layers=2, text_heads=2)
SHORT = Recipe(clips=40, batch=4, questions=3, shape=TINY)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PretrainProgress]]:
    folder, reports = tmp_path_factory.mktemp("made") / "model", []
    pretrain(SHORT, folder, device="cpu", workers=0, report=reports.append, report_every=1)
    return folder, reports


def test_training_goes_through_its_three_stages_and_writes_a_model(made) -> None:
    folder, reports = made
    assert [math.isnan(progress.answer) for progress in reports[:10]] == [True] * 4 + [False] * 6
    assert reports[-1].share == 1.0
    assert reports[-1].clips == 40
    assert (folder / "model.safetensors").exists()
    assert "40 clips" in (folder / "README.md").read_text()


def test_the_same_seed_gives_the_same_weights_with_worker_processes_and_with_none(made, tmp_path) -> None:
    pretrain(SHORT, tmp_path / "again", device="cpu", workers=2)
    again = weights(tmp_path / "again")
    assert all(torch.equal(value, again[name]) for name, value in weights(made[0]).items())


def test_training_leaves_the_handling_of_denormal_numbers_as_it_was(made) -> None:
    assert float(torch.tensor(1e-40) * 1) > 0  # hypothesis and NumPy rely on them


def test_another_seed_gives_other_weights(made, tmp_path) -> None:
    pretrain(replace(SHORT, seed=1, clips=8), tmp_path / "other", device="cpu", workers=0)
    other = weights(tmp_path / "other")
    assert not all(torch.equal(value, other[name]) for name, value in weights(made[0]).items())


def test_an_interrupted_training_resumes_only_with_its_own_recipe_and_ends_with_the_same_weights(made, tmp_path) -> None:
    def interrupt(progress: PretrainProgress) -> None:
        if progress.clips == 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(SHORT, tmp_path / "model", device="cpu", workers=0, report=interrupt, report_every=1)
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


def test_an_evaluation_has_every_figure_for_every_question(made) -> None:
    found = evaluate(made[0], clips=10, device="cpu")
    assert [entry.question for entry in found.questions[:3]] == ["games", "manipulation", "progress"]
    assert {entry.n for entry in found.questions} == {10}
    progress = found.questions[3]
    assert list(progress.by_env) == ["DoorKey-5x5", "DoorKey-6x6", "DoorKey-8x8", "DoorKey-12x12", "DoorKey-16x16"]
    assert progress.agreement.auc is not None
    assert progress.held_out_auc is not None
    assert progress.opposite_differs is not None
    assert set(found.visuals) == {"swapped", "abstract"}
    assert found.clips_per_second > 0


@pytest.mark.slow
def test_the_command_measures_a_folder_in_tables_and_in_json(made, capsys) -> None:
    options = ["pretrain", "--evaluate", str(made[0]), "--clips", "10", "--quiet", "--device", "cpu"]
    assert main(options) == 0
    printed = capsys.readouterr().out
    assert "| Does the agent reach the goal? | 10 |" in printed
    assert "clips per second" in printed
    assert main([*options, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["questions"]) == 12


def test_the_command_trains_and_refuses_to_overwrite(tmp_path, capsys) -> None:
    folder = tmp_path / "model"
    assert (
        main(["pretrain", "--out", str(folder), "--clips", "32", "--workers", "0", "--quiet", "--device", "cpu", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["progress"]["clips"] == 32
    assert main(["pretrain", "--out", str(folder), "--clips", "32", "--quiet"]) == 2
    assert "another --out" in capsys.readouterr().err


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
