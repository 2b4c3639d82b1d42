"""Commands for jobs and for managing runs. The only slot for training is taken, so all runs stay queued."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from vlmrb import jobs
from vlmrb.__main__ import main
from vlmrb.store import Store

SETTINGS = ["--env", "CartPole-v1", "--total-steps", "400", "--scorer", "reward"]
NOT_A_RUN = 999

Say = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose queue does not advance while this process is alive."""
    with Store(str(tmp_path / "runs.db")) as store:
        jobs.set_job_limit(store, 1)
        (job_id,) = store.enqueue_jobs("train", [NOT_A_RUN])
        store.take_jobs({"train": 1})
        here = psutil.Process()
        store.job_started(job_id, here.pid, here.create_time())
        yield store


@pytest.fixture
def say(store: Store, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command; returns its output, parsed with --json, else as text."""

    def run(*words: object, status: int = 0) -> Any:
        assert main([*map(str, words), "--store", store.url]) == status
        captured = capsys.readouterr()
        out = captured.out if status == 0 else captured.err
        return json.loads(out) if "--json" in words else out

    return run


@pytest.fixture
def run_ids(say: Say) -> list[int]:
    """Queued runs: two methods with two seeds each."""
    return say("launch", *SETTINGS, "--methods", "vlm", "per", "--seeds", "0-1", "--set-name", "first", "--tag", "a", "--json")[
        "run_ids"
    ]


def statuses(store: Store) -> list[str]:
    return [run.status for run in reversed(store.runs())]


def test_launch_queues_every_method_with_every_seed(store: Store, run_ids: list[int]) -> None:
    runs = [store.run(run_id) for run_id in run_ids]
    assert [(run.replay, run.seed) for run in runs] == [("vlm", 0), ("per", 0), ("vlm", 1), ("per", 1)]
    assert {(run.status, run.set_name, run.tags) for run in runs} == {("queued", "first", ("a",))}
    assert [job.target_id for job in reversed(store.jobs(status="queued"))] == run_ids


def test_given_settings_override_a_presets(say: Say) -> None:
    output = say("launch", "--preset", "lambda", "--total-steps", "500", "--seeds", "7", "--dry-run", "--json")
    assert [config["lambda_max"] for config in output["configs"]] == [0.1, 0.25, 0.5, 0.75, 1.0, None]
    assert {(config["total_steps"], config["seed"]) for config in output["configs"]} == {(500, 7)}


def test_a_launch_takes_a_replay_ratio_and_says_it(say: Say) -> None:
    assert "replay ratio 8" in say("launch", *SETTINGS, "--replay-ratio", "8", "--dry-run")
    configs = say("launch", *SETTINGS, "--replay-ratio", "8", "--dry-run", "--json")["configs"]
    assert {config["train_freq"] for config in configs} == {16}


def test_a_dry_run_launches_nothing(store: Store, say: Say) -> None:
    assert "3 runs, 1 at a time" in say("launch", *SETTINGS, "--dry-run")
    assert store.runs() == []


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["--seeds", "0", "--seed", "1"], "not both"),
        (["--seeds", "zero"], "numbers and ranges"),
        (["--preset", "quick", "--replay", "per"], "leave out --replay"),
        (["--methods", "per", "--env", "NoSuchEnv-v9"], "run 1 of 1"),
        (["--methods", "per", "--batch-size", "0"], "batch_size"),
    ],
)
def test_an_invalid_launch_is_refused_in_words_and_writes_nothing(store: Store, say: Say, words: list[str], output: str) -> None:
    assert output in say("launch", *words, status=2)
    assert store.runs() == []


def test_the_queue_is_listed_with_its_limit(store: Store, say: Say, run_ids: list[int]) -> None:
    output = say("jobs", "--json")
    assert (output["limit"], [job["target_id"] for job in output["jobs"]]) == (1, [*reversed(run_ids), NOT_A_RUN])
    assert "at most 1 run at a time" in say("jobs")
    assert "from 1 to 256" in say("jobs", "--limit-at", "300", status=2)
    assert jobs.job_limit(store) == 1


def test_runs_can_be_cancelled_and_queued_again(store: Store, say: Say, run_ids: list[int]) -> None:
    assert say("cancel", *run_ids[:2], "--json") == {"run_ids": run_ids[:2]}
    assert statuses(store) == ["created", "created", "queued", "queued"]
    assert "cancelled" in say("cancel", run_ids[0], status=2)
    say("resume", run_ids[0])
    assert statuses(store) == ["queued", "created", "queued", "queued"]
    assert "already queued" in say("resume", run_ids[0], status=2)
    assert "no run 77" in say("resume", 77, status=2)


def test_stopping_a_queued_run_takes_it_out_of_the_queue(store: Store, say: Say, run_ids: list[int]) -> None:
    assert say("control", run_ids[0], "stop", "--json") == {"run_id": run_ids[0], "name": "stop", "status": "cancelled"}
    assert "removed from the queue" in say("control", run_ids[1], "stop")
    assert statuses(store) == ["created", "created", "queued", "queued"]
    assert f"vlmrb cancel {run_ids[2]}" in say("control", run_ids[2], "pause", status=2)


def test_a_run_is_renamed_and_tagged(store: Store, say: Say, run_ids: list[int]) -> None:
    say("rename", run_ids[0], "λ = ½")
    assert say("tag", run_ids[0], "b", " b ", "c", "--json")["tags"] == ["b", "c"]
    run = store.run(run_ids[0])
    assert (run.name, run.tags) == ("λ = ½", ("b", "c"))
    assert "the tags: none" in say("tag", run_ids[0])
    assert "the name is empty" in say("rename", run_ids[0], " ", status=2)


def test_a_log_is_printed_without_terminal_control_characters(store: Store, say: Say, run_ids: list[int]) -> None:
    assert "has no log" in say("log", run_ids[0])
    path = store.folder_of_run(run_ids[0]) / "log.txt"
    path.parent.mkdir(parents=True)
    path.write_text("first\n\x1b[2Jsecond\n", "utf-8")
    output = say("log", run_ids[0])
    assert output.splitlines()[0] == "first"
    assert "\x1b" not in output


def test_deleting_runs_needs_confirmation(store: Store, say: Say, run_ids: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "add --yes" in say("delete", run_ids[0], status=2)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    assert "nothing was deleted" in say("delete", run_ids[0])
    monkeypatch.setattr("builtins.input", lambda _: "Y")
    say("delete", run_ids[0])
    say("delete", run_ids[1], "--yes")
    assert [run.run_id for run in store.runs()] == run_ids[:1:-1]
    assert [job.target_id for job in store.jobs(status="queued")] == run_ids[:1:-1]
