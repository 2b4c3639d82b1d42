"""Studies' files: what they make, and what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vlmrb.errors import ConfigError
from vlmrb.studies import find_study, presets
from vlmrb.studies.design import read_study
from vlmrb.studies.runs import length_of

TEXT = """
title = "PER or not"
seeds = "3-5"
measures = ["final"]

[claim]
text = "PER is better."
measure = "area:200"
better = "per"
than = ["uniform"]

[settings]
env = "CartPole-v1"
total_steps = 400
per_alpha = 0.3

[arms.per]
replay = "per"

[arms.uniform]
replay = "uniform"

[small]
seeds = [0]
settings = {total_steps = 100}
"""
BRANCHES = (
    TEXT
    + """
[branch]
at = "fifth-success"
steps = 300

[trunk]
replay = "uniform"
"""
)


def test_every_arm_has_every_seed_and_arms_advance_together() -> None:
    study = read_study(TEXT, "per")
    assert [(cell.arm, cell.seed) for cell in study.cells] == [(arm, seed) for seed in (3, 4, 5) for arm in ("per", "uniform")]
    assert [cell.config.replay for cell in study.cells[:2]] == ["per", "uniform"]
    assert [cell.config.per_alpha for cell in study.cells[:2]] == [0.3, 0.6]  # uniform replay does not read it
    assert [measure.text for measure in study.measures] == ["area:200", "final"]
    assert study.trunks == ()


def test_tasks_multiply_the_arms() -> None:
    study = read_study(TEXT + "[tasks.short]\ntotal_steps = 300\n[tasks.long]\ntotal_steps = 500\n", "per")
    assert {(cell.task, cell.arm, cell.config.total_steps) for cell in study.cells} == {
        (task, arm, steps) for task, steps in (("short", 300), ("long", 500)) for arm in ("per", "uniform")
    }


def test_the_small_version_overrides_sizes_and_looks_no_further_than_its_runs() -> None:
    study = read_study(TEXT, "per", small=True)
    assert (study.name, {cell.seed for cell in study.cells}) == ("per-small", {0})
    assert {cell.config.total_steps for cell in study.cells} == {100}
    assert [measure.text for measure in study.measures] == ["area:100", "final"]
    assert study.digest != read_study(TEXT, "per").digest


def test_a_study_of_branches_has_one_trunk_per_seed() -> None:
    study = read_study(BRANCHES, "branches")
    assert [(trunk.seed, trunk.config.replay) for trunk in study.trunks] == [(3, "uniform"), (4, "uniform"), (5, "uniform")]
    assert len(study.cells) == 6


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title", "titel", "titel: there is no such key; allowed: title, "),
        ('better = "per"', 'best = "per"', "claim.0.best: there is no such key; allowed: text, measure, better"),
        ('seeds = "3-5"', 'seeds = "3-x"', "seeds: got '3-x'; seeds: got '3-x'; allowed: numbers and ranges"),
        ('seeds = "3-5"', "seeds = [1, 1]", "a seed is given twice"),
        ("total_steps = 400", "total_steps = 0", "arms.per: total_steps: got 0"),
        ("total_steps = 400", "total_step = 400", "arms.per: total_step: there is no such setting"),
        ("total_steps = 400", "seed = 4", "seed is not for a study's settings; give the top-level key 'seeds'"),
        ('replay = "uniform"', 'replay = "per"', "per, seed 3 and uniform, seed 3 are the same run"),
        (
            'replay = "uniform"',
            'replay = "uniform"\nlambda_max = 0.2',
            "arms.uniform: lambda_max is not read by 'uniform' replay",
        ),
        ('than = ["uniform"]', 'than = ["relo"]', "there is no arm 'relo'; choose from per, uniform"),
        ('than = ["uniform"]', "", "give either 'than', arms to compare with, or 'at_least'"),
        ('than = ["uniform"]', 'than = ["per"]', "compared with itself"),
        ('than = ["uniform"]', 'than = ["uniform"]\ntask = "a"', "there is no task 'a'"),
        ("area:200", "volume", "measure: got 'volume'; allowed: final, success_at:N"),
        ("area:200", "area:500", "looks further than the runs get, 400 steps"),
        ("[arms.uniform]", '[arms."a/b"]', "arms: 'a/b' is no name"),
        ("[small]", "[small]\nsteps = 5", ""),
        ("[settings]", "[settings", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_words_that_name_the_key(old: str, new: str, said: str) -> None:
    assert old in TEXT
    if not said:  # only the small version reads it
        with pytest.raises(ConfigError, match=r"small\.steps: only branches have steps"):
            read_study(TEXT.replace(old, new), "per", small=True)
        return
    with pytest.raises(ConfigError) as refused:
        read_study(TEXT.replace(old, new), "per")
    assert said in str(refused.value)


def test_a_trunk_without_branches_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"trunk: only a study of branches"):
        read_study(TEXT + '[trunk]\nreplay = "uniform"\n', "per")


def test_an_arm_that_changes_what_a_branch_cannot_change_is_refused_with_the_reason() -> None:
    text = BRANCHES.replace('replay = "per"', 'replay = "per"\nhidden_size = 32')
    with pytest.raises(ConfigError, match=r"arms\.per: hidden_size: a branch cannot change it: it is part of the networks"):
        read_study(text, "branches")
    read_study(
        text.replace("[trunk]", "[trunk]\nhidden_size = 32").replace("[settings]", "[settings]\nhidden_size = 32"), "branches"
    )


def test_a_trunk_has_what_its_branches_cannot_change_even_if_its_own_replay_does_not_read_it() -> None:
    tasks = '[tasks.a]\nvisuals = "swapped"\n[tasks.b]\nvisuals = "abstract"\n'
    study = read_study(
        BRANCHES.replace('"CartPole-v1"', '"DoorKey-5x5"').replace('replay = "per"', 'replay = "vlm"') + tasks, "b"
    )
    drawn = {(cell.task, cell.config.replay, cell.config.visuals) for cell in study.cells + study.trunks}
    assert drawn == {(task, replay, how) for task, how in (("a", "swapped"), ("b", "abstract")) for replay in ("vlm", "uniform")}


def test_an_unknown_study_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no 'replay-9x9'; give a TOML file, or choose from .*replay-8x8"):
        find_study("replay-9x9")
    with pytest.raises(ConfigError, match="cannot be read"):
        find_study(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", presets())
@pytest.mark.parametrize("small", [False, True])
def test_every_study_that_comes_with_the_project_is_valid(name: str, small: bool) -> None:
    study = find_study(name, small=small)
    assert study.cells and study.design.claim
    if small:
        assert sum(length_of(study, cell) for cell in study.every) <= 150_000


def test_the_three_experiments_and_the_papers_tables_are_there() -> None:
    def values(name: str, setting: str) -> set[Any]:
        return {getattr(cell.config, setting) for cell in find_study(name).cells}

    assert values("seed2-lambda", "lambda_max") == {0.25, 0.5, 0.75, 1.0, None}
    assert values("seed3-visuals", "visuals") == {"normal", "swapped", "abstract"}
    assert values("paper-doorkey", "algo") == {"dqn", "iqn"}
    assert values("paper-doorkey", "env") == {"DoorKey-8x8", "DoorKey-12x12", "DoorKey-16x16"}
    assert values("paper-ogbench", "env") == {f"scene-singletask-task{number}-v0" for number in (3, 4, 5)}
    assert values("clip-length", "clip_length") == {1, 8, 16, 32, 64}
    assert len(find_study("replay-8x8").trunks) >= 10
