"""A real study of four short runs: killed halfway, run again, and reported from its folder alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until
from vlmrb import jobs
from vlmrb.__main__ import main
from vlmrb.errors import ConfigError, VlmrbError
from vlmrb.store import Store
from vlmrb.studies import StudyFolder, advance, collect, cost_of, find_study, progress_of

ROOT = Path(__file__).resolve().parents[2]
FILE = """
title = "A tiny study"
seeds = [0, 1]
measures = ["steps_to_50"]

[claim]
text = "PER balances longer."
measure = "area"
better = "per"
than = ["uniform"]

[settings]
env = "CartPole-v1"
success_return = 5.0
total_steps = 400
eval_interval = 100
eval_episodes = 2
learning_starts = 10_000
hidden_size = 16
n_envs = 2
keep_clips = false

[arms.per]
replay = "per"

[arms.uniform]
replay = "uniform"
"""
Say = Callable[..., str]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command and returns what it says."""

    def run(*words: object, status: int = 0) -> str:
        assert main([*map(str, words)]) == status
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    return run


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a finished study, whose first 'study run' was killed after it had launched its runs."""
    home = tmp_path_factory.mktemp("home")
    (home / "tiny.toml").write_text(FILE, encoding="utf-8")
    words = ["study", "run", str(home / "tiny.toml"), "--store", str(home / "runs.db"), "--wait", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "vlmrb", *words], env=environment, stdout=subprocess.DEVNULL)
    lines = home / "studies" / "tiny" / "curves.jsonl"
    wait_until(lines.exists, "the first line")
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = subprocess.run([sys.executable, "-m", "vlmrb", *words], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["complete"]
    return home


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    """A copy of the study's folder, without the store."""
    return shutil.copytree(home / "studies" / "tiny", tmp_path / "tiny")


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (folder / "curves.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_study_that_was_killed_and_run_again_made_every_run_once(home: Path) -> None:
    with Store(str(home / "runs.db")) as store:
        runs = store.runs()
    assert sorted((run.replay, run.seed, run.status) for run in runs) == [
        (arm, seed, "finished") for arm in ("per", "uniform") for seed in (0, 1)
    ]
    found = records(home / "studies" / "tiny")
    assert [(each["arm"], each["seed"]) for each in found] == [("per", 0), ("uniform", 0), ("per", 1), ("uniform", 1)]


def test_a_line_holds_all_that_the_run_was(home: Path) -> None:
    first = records(home / "studies" / "tiny")[0]
    assert (first["env"], first["method"], first["status"], first["steps"]) == (
        "CartPole-v1",
        "per",
        "finished",
        [100, 200, 300, 400],
    )
    assert first["settings"]["success_return"] == 5.0
    assert first["phases"]["first_success"] is not None
    assert first["version"] and "cores" in first["host"] and "commit" in first


def test_running_a_complete_study_again_changes_nothing(home: Path, say: Say) -> None:
    before = (home / "studies" / "tiny" / "curves.jsonl").read_bytes()
    assert "nothing is left to train" in say("study", "run", home / "tiny.toml", "--store", home / "runs.db")
    with Store(str(home / "runs.db")) as store:
        assert len(store.runs()) == 4
    assert (home / "studies" / "tiny" / "curves.jsonl").read_bytes() == before


def test_a_report_is_made_from_the_folder_alone_and_repeats_to_the_byte(home: Path, copied: Path, say: Say) -> None:
    for name in ("report.md", "curves.svg"):
        (copied / name).unlink()
    assert "undecided (2 seeds decide nothing" in say("study", "report", copied)
    for name in ("report.md", "curves.svg"):
        assert (copied / name).read_bytes() == (home / "studies" / "tiny" / name).read_bytes()


def test_status_lists_arms_and_seeds(home: Path, say: Say) -> None:
    output = say("study", "status", home / "tiny.toml", "--store", home / "runs.db")
    assert "uniform  done  done" in output and "4 of 4 runs done" in output


def test_a_file_that_changed_after_the_study_began_is_refused(home: Path, tmp_path: Path, say: Say) -> None:
    changed = tmp_path / "tiny.toml"
    changed.write_text(FILE.replace("PER balances longer", "PER falls sooner"), encoding="utf-8")
    words = say("study", "run", changed, "--store", home / "runs.db", status=2)
    assert "its file has changed since" in words and "A claim stands before its runs" in words
    assert "--results" in words


def test_a_fixed_file_that_was_edited_is_refused(copied: Path, say: Say) -> None:
    path = copied / "study.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("balances longer", "wins"), encoding="utf-8")
    assert "was changed after the study had begun; restore it" in say("study", "report", copied, status=2)


@pytest.mark.parametrize(
    "damage",
    ['{"arm": "per", "seed"', '{"arm": "per"}', '{"task": "", "arm": "per", "seed": 0, "steps": [2, 1], "values": [0, 0]}'],
)
def test_a_damaged_line_is_named(copied: Path, say: Say, damage: str) -> None:
    path = copied / "curves.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], damage, *lines[2:]]) + "\n", encoding="utf-8")
    words = say("study", "report", copied, status=2)
    assert f"line 2 of {path} is damaged" in words and "delete that line" in words


def test_a_deleted_line_is_written_again_from_the_store(home: Path, copied: Path) -> None:
    study, folder = find_study(str(home / "tiny.toml")), StudyFolder(copied)
    path, before = copied / "curves.jsonl", records(copied)
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]), encoding="utf-8")
    with Store(str(home / "runs.db")) as store:
        assert collect(store, study, folder) == 1
        assert collect(store, study, folder) == 0
    assert records(copied) == before


def test_a_line_that_is_there_twice_is_refused(copied: Path, say: Say) -> None:
    path = copied / "curves.jsonl"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + text.splitlines(keepends=True)[0], encoding="utf-8")
    assert "line 5" in (words := say("study", "report", copied, status=2)) and "is there twice" in words


def test_results_of_several_machines_make_one_report(copied: Path, say: Say) -> None:
    path = copied / "curves.jsonl"
    found = records(copied)
    found[1] |= {"host": "64 cores, arm64, Darwin", "commit": "0000000"}
    path.write_text("".join(json.dumps(each) + "\n" for each in found), encoding="utf-8")
    say("study", "report", copied)
    report = (copied / "report.md").read_text(encoding="utf-8")
    assert "64 cores, arm64, Darwin" in report and found[0]["host"] in report


def test_results_count_in_another_store(copied: Path, tmp_path: Path) -> None:
    """Whoever gets the folder need not train again what is in it."""
    folder = StudyFolder(copied)
    with Store(str(tmp_path / "other.db")) as store:
        assert advance(store, folder.study(), folder).complete
        assert store.runs() == []


def test_a_run_whose_tags_were_edited_is_not_made_again(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(FILE, encoding="utf-8")
    study, folder = find_study(str(tmp_path / "tiny.toml")), StudyFolder(tmp_path / "results")
    folder.begin(study)
    with Store(str(tmp_path / "runs.db")) as store:
        busy(store)
        assert [each.state for each in advance(store, study, folder).states] == ["queued"] * 4
        store.tag_run(1, ["mine"])
        with pytest.raises(ConfigError, match=r"run 1 .* its tags were changed.*vlmrb tag 1 study:"):
            advance(store, study, folder)
        assert len(store.runs()) == 4


def test_runs_keep_their_checkpoints_where_the_study_was_told_to(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(FILE, encoding="utf-8")
    study, folder = find_study(str(tmp_path / "tiny.toml")), StudyFolder(tmp_path / "results")
    folder.begin(study)
    assert folder.checkpoints is None
    folder.keep_checkpoints_in(str(tmp_path / "shared"))
    with Store(str(tmp_path / "runs.db")) as store:
        busy(store)
        assert [each.state for each in advance(store, study, folder).states] == ["queued"] * 4
        assert {run.config["checkpoints"] for run in store.runs()} == {str(tmp_path / "shared")}
    wrong = FILE.replace("[settings]", "[settings]\ncheckpoints = 's3://bucket/x'", 1)
    assert wrong != FILE
    (tmp_path / "wrong.toml").write_text(wrong, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"checkpoints is not for .*'study run' the option --checkpoints"):
        find_study(str(tmp_path / "wrong.toml"))


def test_a_run_that_is_not_what_its_place_says_gets_no_line(home: Path, tmp_path: Path) -> None:
    """Whoever edits tags, or a fault of ours, must not bring a run into the report under another arm's name."""
    (tmp_path / "tiny.toml").write_text(FILE, encoding="utf-8")
    study, folder = find_study(str(tmp_path / "tiny.toml")), StudyFolder(tmp_path / "results")
    folder.begin(study)
    shutil.copytree(home, tmp_path / "home")
    with Store(str(tmp_path / "home" / "runs.db")) as store:
        runs = {(run.replay, run.seed): run for run in store.runs()}
        per, uniform = runs["per", 0], runs["uniform", 0]
        store.tag_run(per.run_id, uniform.tags)
        store.delete_run(uniform.run_id)
        words = rf"run {per.run_id} is not what uniform, seed 0 says: .*'per' instead of 'uniform'"
        with pytest.raises(VlmrbError, match=words):
            collect(store, study, folder)
        assert not folder.lines(study)


def test_a_study_says_what_it_costs_from_earlier_runs_or_documented_speeds(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(FILE.replace("total_steps = 400", "total_steps = 360_000"), encoding="utf-8")
    study, folder = find_study(str(tmp_path / "tiny.toml")), StudyFolder(tmp_path / "results")
    with Store(str(tmp_path / "runs.db")) as store:
        jobs.set_job_limit(store, 2)
        states = progress_of(store, study, folder).states
        assert "measured elsewhere" in cost_of(store, states).basis
        run_id = store.create_run(study.cells[0].config.model_dump(), render_spec={}, success_rule="")
        store.heartbeat(run_id, 50_000, steps_per_second=100.0)
        cost = cost_of(store, states)
        assert (cost.runs, cost.core_hours, cost.hours) == (4, 4.0, 2.0)


def test_an_expensive_study_asks_first_on_a_terminal(tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "")
    output = say("study", "run", "seed2-lambda", "--store", tmp_path / "runs.db")
    assert "core-hours" in output and "nothing was started" in output
    with Store(str(tmp_path / "runs.db")) as store:
        assert store.runs() == []


def test_presets_are_listed_and_shown_without_a_store(tmp_path: Path, say: Say) -> None:
    assert "replay-8x8" in say("study", "list", "--store", tmp_path / "none.db")
    shown = say("study", "show", "replay-8x8", "--store", tmp_path / "none.db")
    assert "claim: " in shown and "core-hours" in shown and "vlm recommended" in shown
    assert not (tmp_path / "none.db").exists()


def busy(store: Store) -> None:
    """Take the only slot for training for as long as this process lives."""
    import psutil

    jobs.set_job_limit(store, 1)
    (job_id,) = store.enqueue_jobs("train", [999])
    store.take_jobs({"train": 1})
    here = psutil.Process()
    store.job_started(job_id, here.pid, here.create_time())
