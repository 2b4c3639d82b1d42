"""The command `trial`, on a store with real clips."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.recorded import record_frames, record_run
from vlmrb.__main__ import main
from vlmrb.rescoring import trial_report
from vlmrb.store import Store


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def trial(store: Path, *words: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["trial", *map(str, words), "--store", str(store), "--quiet"])
    return Outcome(status, out.getvalue(), err.getvalue())


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A store with a run whose 30 clips are all labelled yes."""
    with Store(str(tmp_path / "runs.db")) as store:
        record_run(store, 30, length=4, labels=[True] * 30)
    return tmp_path / "runs.db"


def test_a_trial_is_run_and_reported_and_can_be_shown_again(runs: Path) -> None:
    made = trial(runs, 1, "--scorer", "oracle", "--sample", 20, "--json")
    assert made.status == 0, made.err
    report = json.loads(made.out)
    assert (report["trial"]["status"], report["trial"]["scored"], len(report["rows"])) == ("finished", 20, 20)
    assert (report["agreement"]["auc"], report["agreement"]["people"]) == (1, None)
    assert report["agreement"]["flipped"] == sum(row["flipped"] for row in report["rows"])
    assert all(row["flipped"] == (not row["progress"]) and row["label"] for row in report["rows"])
    assert json.loads(trial(runs, "--show", 1, "--json").out) == report
    assert [entry["trial_id"] for entry in json.loads(trial(runs, "--list", "--json").out)] == [1]
    with Store(str(runs)) as store:
        assert all(clip.score.scorer == "hand" for clip in store.clips(1, limit=100))


def test_a_model_that_does_not_know_the_pictures_or_the_words_gives_a_warning(runs: Path) -> None:
    with Store(str(runs)) as store:
        record_frames(store, [np.zeros((4, 16, 16, 3), np.uint8)])
    warned = trial(runs, 1, 2, "--scorer", "embedded:robots", "--prompt", "Does the wizard lift a cube?", "--sample", 1).err
    assert "'wizard'" in warned
    assert warned.count("only on pictures of OGBench's robot") == 1  # once, though neither run shows a robot
    with Store(str(runs)) as store:
        assert len(trial_report(store, 1).notices) == 2


def test_the_text_report_lists_the_labels_that_would_flip(runs: Path) -> None:
    shown = trial(runs, 1, "--scorer", "oracle").out
    assert "trial   1, finished" in shown and "30 of 30 clips scored, from run 1" in shown
    assert "to no" in shown
    table = shown[shown.index("clip  ") :].splitlines()
    assert table[1].split() == [table[1].split()[0], "yes", "0.8", "no", "0", "no"]
    assert "1/1" not in trial(runs, "--list").out and "30/30" in trial(runs, "--list").out


def test_a_failed_trial_can_be_shown_and_resumed(runs: Path) -> None:
    failed = trial(runs, 1, "--scorer", "hf:/no/such/\x1b[31mfolder", "--prompt", "Is a key held?")
    assert failed.status == 2 and "/no/such/" in failed.err
    shown = trial(runs, "--show", 1)
    assert shown.status == 0
    assert "1, failed:" in shown.out and "Is a key held?" in shown.out and "\x1b" not in shown.out
    again = trial(runs, "--resume", 1)
    assert again.status == 2 and "/no/such/" in again.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give run numbers to start a trial"),
        (["1", "--show", "1"], "exactly one of --show TRIAL"),
        (["--list", "--resume", "1"], "exactly one of --show TRIAL"),
        (["1", "--scorer", "telepathy"], "telepathy"),
        (["1", "99", "--scorer", "oracle"], "no run 99"),
        (["--show", "7"], "no trial 7"),
        (["--resume", "7"], "no trial 7"),
    ],
)
def test_an_impossible_request_is_an_error_that_names_the_cause(runs: Path, words: list[str], said: str) -> None:
    outcome = trial(runs, *words)
    assert outcome.status == 2
    assert said in outcome.err and outcome.err.startswith("vlmrb: ")


def test_listing_without_trials_says_that_there_are_none_yet(runs: Path) -> None:
    assert trial(runs, "--list").out == "no trials yet\n"
