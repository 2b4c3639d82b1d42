"""The commands, on a real store with a short real run."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import psutil
import pytest

from tests.waiting import wait_until
from vlmrb.__main__ import main
from vlmrb.checkpoint import latest_step
from vlmrb.config import make_config
from vlmrb.store import Store
from vlmrb.types import Episode

SHORT = (
    "--env DoorKey-5x5 --scorer oracle --sync-scoring --total-steps 1600 --learning-starts 400 --eval-interval 800 "
    "--eval-episodes 4 --checkpoint-interval 800 --log-interval 400 --batch-size 16 --hidden-size 16 --seed 3"
).split()


class Outcome(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out.splitlines()[-1])


def vlmrb(*words: object) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(word) for word in words])
        except SystemExit as left:  # argparse
            status = int(left.code or 0)
    return Outcome(status, out.getvalue(), err.getvalue())


class Trained(NamedTuple):
    store: Path
    outcome: Outcome
    tiny: float  # 1e-310 · 1, computed right after the run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run, number 1."""
    store = tmp_path_factory.mktemp("trained") / "runs.db"
    outcome = vlmrb("train", *SHORT, "--name", "first \x1b[31mrun\x07", "--store", store, "--json")
    assert outcome.status == 0, outcome.err
    return Trained(store, outcome, float((np.array([1e-310]) * np.array([1.0]))[0]))


def made_run(store: Store, *, values: list[float] = (), status: str = "finished", **settings) -> int:
    """A run with evaluations and nothing else."""
    config = make_config(**({"scorer": "oracle", "total_steps": 300_000} | settings))
    run_id = store.create_run(config.model_dump(), name=None, render_spec={"kind": "frames"}, success_rule="return ≥ 1")
    store.claim_run(run_id, os.getpid(), psutil.Process().create_time())
    writer = store.writer(run_id)
    for i, value in enumerate(values, start=1):
        writer.add_metric("eval/success_rate", i * 100_000, value)
    writer.flush()
    store.heartbeat(run_id, 100_000 * len(values))
    if status != "running":
        store.release_run(run_id, status)
    return run_id


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[Store, int, Path]]:
    """A run that appears to be trained by this process."""
    path = tmp_path / "live.db"
    with Store(str(path)) as store:
        yield store, made_run(store, status="running"), path


# -- train


def test_train_json_ends_with_the_result_on_one_line(trained: Trained) -> None:
    result = trained.outcome.json
    assert result["run_id"] == 1
    assert result["status"] == "finished"
    assert result["steps"] == 1600
    assert result["steps_per_second"] > 0
    assert 0 <= result["final_success_rate"] <= 1
    assert result["clips_scored"] > 0
    assert 0 <= result["positive_rate"] <= 1
    assert (result["stale"], result["dropped"]) == (0, 0)


def test_training_does_not_change_the_floating_point_mode_of_the_process(trained: Trained) -> None:
    assert trained.tiny > 0, "denormal numbers are flushed to zero after training; restore torch.set_flush_denormal"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lambda-max", "1.5", "--scorer", "oracle"], "lambda_max: got"),
        (["--lambda-max", "nan", "--scorer", "oracle"], "lambda_max"),
        (["--total-steps", "-5", "--scorer", "oracle"], "total_steps: got '-5'"),
        (["--prompt", "", "--scorer", "oracle"], "prompt: is empty"),
        (["--env", "DoorKy-8x8", "--scorer", "oracle"], "DoorKy-8x8"),
        (["--scorer", "hf:/no/such/folder", "--env", "DoorKey-5x5"], "/no/such/folder"),
        (["--scorer", "telepathy"], "telepathy"),
        (["--env", "Pendulum-v1"], "use sac or td3"),
        (["--resume", "1", "--gamma", "0.5"], "--gamma"),
    ],
)
def test_an_invalid_setting_prints_one_message_and_exits_with_status_2(tmp_path: Path, words: list[str], said: str) -> None:
    outcome = vlmrb("train", *words, "--store", tmp_path / "runs.db", "--quiet")
    assert outcome.status == 2
    assert said in outcome.err
    assert all(line.startswith("vlmrb: ") for line in outcome.err.splitlines())
    assert "Traceback" not in outcome.err


def test_a_finished_run_cannot_be_resumed(trained: Trained) -> None:
    outcome = vlmrb("train", "--resume", 1, "--store", trained.store, "--quiet")
    assert (outcome.status, "finished" in outcome.err) == (2, True)


def test_a_run_whose_scoring_failed_prints_a_warning_even_when_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlmrb.train import TrainResult

    def train_without_scores(config: object, *, store: Store, **_: object) -> TrainResult:
        run_id = made_run(store, status="running")
        store.release_run(run_id, "finished", "scoring has failed at step 8\x1b[2J")
        return TrainResult(run_id, "finished", 16, None, 1.0, 1, 0, None, 0, 0, 1)

    monkeypatch.setattr("vlmrb.train.train", train_without_scores)
    outcome = vlmrb("train", "--scorer", "oracle", "--store", tmp_path / "runs.db", "--quiet")
    assert outcome.status == 0
    assert outcome.err == "vlmrb: warning: scoring has failed at step 8\n"


def test_control_c_exits_with_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("vlmrb.cli.runs.list_runs", interrupted)
    assert vlmrb("runs").status == 130


def test_an_unexpected_exception_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("vlmrb.cli.runs.list_runs", broken)
    with pytest.raises(ZeroDivisionError):
        vlmrb("runs")


@pytest.mark.slow
def test_control_c_saves_a_checkpoint_and_resume_finishes_the_run(tmp_path: Path) -> None:
    settings = [*SHORT, "--store", str(tmp_path / "runs.db"), "--json"]
    settings[settings.index("--total-steps") + 1] = "20000"
    process = subprocess.Popen([sys.executable, "-m", "vlmrb", "train", *settings], stdout=subprocess.PIPE, text=True)
    checkpoints = tmp_path / "runs-runs" / "1" / "checkpoints"
    wait_until(lambda: len(list(checkpoints.glob("step-*"))) > 1, "the first checkpoint after that of step 0")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    first = json.loads(out.splitlines()[-1])
    assert first["status"] == "interrupted"
    assert 0 < first["steps"] < 20_000
    resumed = vlmrb("train", "--resume", 1, "--store", tmp_path / "runs.db", "--json", "--quiet")
    assert resumed.status == 0, resumed.err
    assert (resumed.json["status"], resumed.json["steps"]) == ("finished", 20_000)
    assert resumed.json["clips_scored"] >= first["clips_scored"]


# -- runs, show, curve


def test_runs_are_listed_newest_first(seeds: Path) -> None:
    rows = vlmrb("runs", "--store", seeds, "--json").json
    assert [row["run_id"] for row in rows] == list(range(12, 0, -1))


def test_runs_shows_the_method_status_and_progress_of_each_run(trained: Trained) -> None:
    rows = vlmrb("runs", "--store", trained.store, "--json").json
    assert [row["run_id"] for row in rows] == [1]
    assert rows[0]["status"] == "finished"
    assert rows[0]["config"]["seed"] == 3
    table = vlmrb("runs", "--store", trained.store).out
    assert "vlm (oracle)" in table
    assert "1600/1600" in table


def test_a_run_name_cannot_control_the_terminal(trained: Trained) -> None:
    for command in (["runs"], ["show", 1]):
        out = vlmrb(*command, "--store", trained.store).out
        assert "first run" in out
        assert "\x1b" not in out
        assert "\x07" not in out


def test_runs_can_be_filtered_by_status(trained: Trained) -> None:
    assert [row["run_id"] for row in vlmrb("runs", "--status", "finished", "--store", trained.store, "--json").json] == [1]
    assert vlmrb("runs", "--status", "failed", "--store", trained.store, "--json").json == []
    assert "no failed runs" in vlmrb("runs", "--status", "failed", "--store", trained.store).out


def test_show_prints_settings_counters_and_metrics(trained: Trained) -> None:
    shown = vlmrb("show", 1, "--store", trained.store, "--json").json
    assert shown["config"]["env"] == "DoorKey-5x5"
    assert shown["clips"] == trained.outcome.json["clips"]
    assert "eval/success_rate" in shown["metrics"]
    said = vlmrb("show", 1, "--store", trained.store).out
    assert "seed 3" in said
    assert "precision 1, recall 1" in said  # labels of the oracle
    assert shown["labels"]["confusion"]["false_positives"] == 0


def test_curve_prints_steps_and_values(trained: Trained) -> None:
    curve = vlmrb("curve", 1, "--metric", "eval/success_rate", "--store", trained.store, "--json").json
    assert curve["steps"] == [800, 1600]
    assert len(curve["values"]) == 2
    lines = vlmrb("curve", 1, "--since", 801, "--store", trained.store).out.splitlines()
    assert lines[0] == "step\teval/success_rate"
    assert [line.split("\t")[0] for line in lines[1:]] == ["1600"]


def test_draws_shows_what_the_batches_before_a_step_drew(trained: Trained) -> None:
    found = vlmrb("draws", 1, "--at", 900, "--store", trained.store, "--json").json
    assert found["steps"][-1] == 1600 and found["draws"]["step"] in found["steps"]
    first, *_ = found["draws"]["sample"]
    assert first["rank"] == 1 and found["clips"][str(first["clip_id"])]["run_id"] == 1
    lines = vlmrb("draws", 1, "--store", trained.store).out.splitlines()
    assert re.match(
        r"100 batches before step 1,600 drew 1,600 items of \d+ clips\. Labels chose .* the base \(Uniform\) ", lines[0]
    )
    assert lines[2].split()[:3] == ["rank", "clip", "draws"] and len(lines) > 10


def test_the_error_for_an_unknown_metric_lists_the_known_ones(trained: Trained) -> None:
    outcome = vlmrb("curve", 1, "--metric", "eval/fun", "--store", trained.store)
    assert outcome.status == 2
    assert "eval/success_rate" in outcome.err


@pytest.mark.parametrize(
    "command", [["show", 99], ["curve", 99], ["draws", 99], ["clips", 99], ["clip", 990_000_000], ["control", 99, "stop"]]
)
def test_an_unknown_run_or_clip_is_an_error_without_a_traceback(trained: Trained, command: list) -> None:
    outcome = vlmrb(*command, "--store", trained.store)
    assert outcome.status == 2
    assert outcome.err.startswith("vlmrb: ")


def test_listing_runs_does_not_create_a_missing_store(tmp_path: Path) -> None:
    outcome = vlmrb("runs", "--store", tmp_path / "none.db")
    assert outcome.status == 2
    assert "none.db" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_the_store_can_be_set_by_an_environment_variable(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMRB_STORE", str(trained.store))
    assert len(vlmrb("runs", "--json").json) == 1


# -- clips


def test_clips_can_be_filtered_by_label_and_event(trained: Trained) -> None:
    every = vlmrb("clips", 1, "--limit", 1000, "--store", trained.store, "--json").json
    assert len(every) == trained.outcome.json["clips"]
    assert {clip["label"] for clip in every} <= {"yes", "no"}
    yes = vlmrb("clips", 1, "--label", "yes", "--limit", 1000, "--store", trained.store, "--json").json
    assert 0 < len(yes) < len(every)
    assert [clip["clip_id"] for clip in yes] == [clip["clip_id"] for clip in every if clip["label"] == "yes"]
    keys = vlmrb("clips", 1, "--event", "picked_up", "--limit", 1000, "--store", trained.store, "--json").json
    assert keys
    assert all(any(event["name"] == "picked_up" for _, event in clip["events"]) for clip in keys)


def test_clips_can_be_paged_through(trained: Trained) -> None:
    first = vlmrb("clips", 1, "--limit", 3, "--store", trained.store, "--json").json
    second = vlmrb("clips", 1, "--limit", 3, "--after", first[-1]["clip_id"], "--store", trained.store, "--json").json
    assert len({clip["clip_id"] for clip in first + second}) == 6


def test_a_clip_can_be_saved_as_a_video_with_all_its_frames(trained: Trained, tmp_path: Path) -> None:
    clip = vlmrb("clips", 1, "--limit", 1, "--store", trained.store, "--json").json[0]
    outcome = vlmrb("clip", clip["clip_id"], "--out", tmp_path / "clip.mp4", "--store", trained.store)
    assert outcome.status == 0, outcome.err
    assert re.match(rf"clip +{clip['clip_id']} ", outcome.out)
    assert "oracle" in outcome.out
    with av.open(str(tmp_path / "clip.mp4")) as video:
        assert video.streams.video[0].codec_context.name == "h264"
        assert sum(1 for _ in video.decode(video=0)) == clip["length"]


@pytest.mark.parametrize("target", ["clip.gif", "no/such/folder/clip.mp4"])
def test_a_video_file_with_a_wrong_suffix_or_folder_is_rejected(trained: Trained, tmp_path: Path, target: str) -> None:
    clip = vlmrb("clips", 1, "--limit", 1, "--store", trained.store, "--json").json[0]
    outcome = vlmrb("clip", clip["clip_id"], "--out", tmp_path / target, "--store", trained.store)
    assert outcome.status == 2
    assert "--out" in outcome.err


def test_prompts_lists_presets_and_stored_prompts(trained: Trained) -> None:
    listed = vlmrb("prompts", "--store", trained.store, "--json").json
    assert {"games", "manipulation"} <= {prompt["name"] for prompt in listed["presets"]}
    assert [prompt["name"] for prompt in listed["stored"]] == ["games"]
    assert "games@1" in vlmrb("prompts", "--store", trained.store).out


def test_presets_are_listed_without_a_store(tmp_path: Path) -> None:
    outcome = vlmrb("prompts", "--store", tmp_path / "none.db")
    assert outcome.status == 0
    assert "games@1" in outcome.out


# -- live changes


def test_a_finished_run_rejects_live_changes(trained: Trained) -> None:
    outcome = vlmrb("control", 1, "--lambda", 0.5, "--store", trained.store)
    assert outcome.status == 2
    assert "finished" in outcome.err
    with Store(str(trained.store), create=False) as store:
        assert store.live_changes(1) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--lambda", "1.5"],
        ["--lambda", "nan"],
        ["--lambda", "a lot"],
        ["--prompt", ""],
        ["--prompt", " "],
        [],
        ["stop", "--lambda", "1"],
        ["pause", "--wait", "nan"],
    ],
)
def test_an_invalid_live_change_is_rejected_before_it_is_stored(live: tuple[Store, int, Path], words: list[str]) -> None:
    store, run_id, path = live
    outcome = vlmrb("control", run_id, *words, "--store", path)
    assert outcome.status == 2
    assert outcome.err.startswith("vlmrb: ")
    assert store.live_changes(run_id) == []


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--lambda", "0.25"], "lambda", 0.25),
        (["--lambda", "none"], "lambda", "none"),
        (["--lambda", "schedule"], "lambda", "schedule"),
        (["pause"], "pause", None),
        (["unpause"], "unpause", None),
        (["resume"], "unpause", None),  # its old name
        (["stop"], "stop", None),
    ],
)
def test_a_live_change_is_stored_as_a_request_to_the_run(
    live: tuple[Store, int, Path], words: list[str], name: str, value: object
) -> None:
    store, run_id, path = live
    outcome = vlmrb("control", run_id, *words, "--store", path)
    assert outcome.status == 0, outcome.err
    assert "not applied yet" in outcome.out
    assert [(row.name, row.value, row.status) for row in store.live_changes(run_id)] == [(name, value, "requested")]


def test_a_new_prompt_is_stored_and_requested_by_its_id(live: tuple[Store, int, Path]) -> None:
    store, run_id, path = live
    row = vlmrb("control", run_id, "--prompt", "Does the agent open a door?", "--store", path, "--json").json
    prompt = store.prompt(row["value"])
    assert (prompt.name, prompt.text) == ("custom", "Does the agent open a door?")


@pytest.mark.parametrize(("error", "status", "said"), [("", 0, "applied at step 128"), ("too late", 2, "rejected: too late")])
def test_control_waits_for_the_outcome(live: tuple[Store, int, Path], error: str, status: int, said: str) -> None:
    _, run_id, path = live

    def answer() -> None:
        with Store(str(path)) as other:
            rows = wait_until(lambda: other.live_changes(run_id, status="requested"), "the request to pause")
            other.acknowledge_change(rows[0].change_id, **({"error": error} if error else {"applied_step": 128}))

    thread = threading.Thread(target=answer)
    thread.start()
    outcome = vlmrb("control", run_id, "pause", "--wait", 20, "--store", path)
    thread.join()
    assert outcome.status == status
    assert said in outcome.out


def test_a_run_without_mixture_has_no_lambda(tmp_path: Path) -> None:
    with Store(str(tmp_path / "runs.db")) as store:
        run_id = made_run(store, replay="per", status="running")
        outcome = vlmrb("control", run_id, "--lambda", "0.5", "--store", tmp_path / "runs.db")
        assert (outcome.status, "'per'" in outcome.err) == (2, True)


# -- score


def test_new_scores_are_stored_and_compared_with_events_and_earlier_labels(trained: Trained) -> None:
    clips = trained.outcome.json["clips"]
    random = vlmrb("score", 1, "--scorer", "random:0.5", "--store", trained.store, "--json", "--quiet").json
    assert random["clips"] == clips
    assert random["flips"]["unknown"] == 0
    assert random["flipped"] == random["confusion"]["false_positives"] + random["confusion"]["false_negatives"]
    oracle = vlmrb(
        "score", 1, "--scorer", "oracle", "--prompt", "Is there progress?", "--store", trained.store, "--json", "--quiet"
    ).json
    assert (oracle["precision"], oracle["recall"], oracle["auc"], oracle["calibration_error"]) == (1, 1, 1, 0)
    assert oracle["flipped"] == random["flipped"]
    assert oracle["positive_rate"] == oracle["event_rate"]
    with Store(str(trained.store), create=False) as store:
        assert len(store.scores_of_run(1)) == 3 * clips
        assert store.find_prompt("custom").text == "Is there progress?"


def test_each_answer_to_a_set_of_questions_is_listed_with_its_question(trained: Trained) -> None:
    text = "- Does the agent pick up a key?\n- Does the agent reach the goal?"
    scored = vlmrb("score", 1, "--prompt", text, "--limit", 2, "--store", trained.store, "--quiet")
    assert "a clip is yes if at least one of its 2 answers is yes (rule 'any')" in scored.out
    clips = vlmrb("clips", 1, "--limit", 1000, "--store", trained.store, "--json").json
    [clip, _] = [clip for clip in clips if clip["score"]["scorer"] == "embedded"]
    assert clip["score"]["probability"] == max(clip["score"]["answers"])
    shown = vlmrb("clip", clip["clip_id"], "--store", trained.store).out
    for question, answer in zip(text.split("\n"), clip["score"]["answers"], strict=True):
        assert f"  {answer:.3g}  {question[2:]}" in shown
    assert "0  goal reached" in shown or "1  goal reached" in shown  # by the oracle that the run was trained with


def test_a_limited_number_of_clips_is_spread_over_the_whole_run(trained: Trained) -> None:
    outcome = vlmrb("score", 1, "--scorer", "reward", "--limit", 5, "--store", trained.store, "--quiet")
    assert outcome.status == 0, outcome.err
    assert "5 clips of run 1" in outcome.out
    with Store(str(trained.store), create=False) as store:
        scored = sorted(score.clip_id for score in store.scores_of_run(1, scorer="reward"))
        every = [clip.clip_id for clip in store.clips(1, limit=1000, order="oldest")]
    assert (scored[0], scored[-1], len(scored)) == (every[0], every[-1], 5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scorer", "telepathy"], "telepathy"),
        (["--scorer", "oracle", "--prompt", ""], "prompt"),
        (["--scorer", "random:2"], "from 0 to 1"),
    ],
)
def test_an_invalid_scorer_or_prompt_is_rejected(trained: Trained, words: list[str], said: str) -> None:
    outcome = vlmrb("score", 1, *words, "--store", trained.store)
    assert (outcome.status, said in outcome.err) == (2, True)


def test_a_run_without_clips_cannot_be_scored(tmp_path: Path) -> None:
    with Store(str(tmp_path / "runs.db")) as store:
        made_run(store)
    outcome = vlmrb("score", 1, "--scorer", "oracle", "--store", tmp_path / "runs.db")
    assert (outcome.status, "no stored clips" in outcome.err) == (2, True)


# -- compare


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods with five seeds each, a run that is still running, and one without evaluations."""
    path = tmp_path_factory.mktemp("seeds") / "runs.db"
    with Store(str(path)) as store:
        for seed in range(5):
            made_run(store, seed=seed, values=[0.2, 0.6 + 0.05 * seed, 1.0])
            made_run(store, seed=seed, replay="uniform", scorer=None, values=[0.0, 0.1, 0.1 * seed])
        made_run(store, seed=5, values=[0.5], status="running")
        made_run(store, seed=6, status="failed")
    return path


def test_methods_are_compared_over_seeds(seeds: Path) -> None:
    found = vlmrb("compare", "--store", seeds, "--json").json
    by_label = {result["method"]["label"]: result for result in found["results"]}
    assert set(by_label) == {"uniform", "vlm (oracle)"}
    vlm, uniform = by_label["vlm (oracle)"], by_label["uniform"]
    assert vlm["at"]["200000"]["n"] == 5
    assert vlm["at"]["200000"]["point"] == pytest.approx(0.7)
    assert vlm["reaching"]["0.5"] == {"n": 5, "reached": 5, "median": 200_000, "low": 200_000, "high": 200_000}
    assert (uniform["reaching"]["0.5"]["reached"], uniform["reaching"]["0.5"]["median"]) == (0, None)
    assert found["improvements"][0]["probability"]["point"] == 1.0
    assert any("not ended: 11" in note for note in found["notes"])


def test_compare_prints_markdown_tables(seeds: Path) -> None:
    outcome = vlmrb("compare", "--store", seeds, "--markdown", "--at", "100k", "300k", "--statistic", "mean")
    header, rule, uniform, vlm = outcome.out.splitlines()[:4]
    assert header.startswith(
        "| env | algo | replay | n | success rate at 100k | success rate at 300k | steps to 50 % | steps to 90 % |"
    )
    assert rule == "|" + "---|" * 9
    assert "| uniform | 5 | 0 [0, 0] % | 20 [8, 32] %" in uniform
    assert "| – (0/5) | – (0/5) |" in uniform
    assert "| vlm (oracle) | 5 | 20 [20, 20] % | 100 [100, 100] % | 200k [200k, 200k] (5/5) | 300k [300k, 300k] (5/5) |" in vlm


def test_compare_shows_the_score_by_the_values_of_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with Store(str(path)) as store:
        for seed in range(2):
            for weight in (0.25, 0.5):
                made_run(store, seed=seed, lambda_max=weight, values=[0.0, 0.2, weight])
            made_run(store, seed=seed, replay="uniform", scorer=None, values=[0.0, 0.1, 0.1])
    outcome = vlmrb("compare", "--store", path, "--setting", "lambda_max", "--statistic", "mean")
    table = [line.split() for line in outcome.out.splitlines()]
    assert ["replay", "lambda_max", "n", "at", "300k", "area", "to", "300k"] in table
    assert ["vlm", "(oracle)", "0.25", "2", "25", "[25,", "25]", "%", "16", "[16,", "16]", "%"] in table
    assert any(line[:4] == ["uniform", "not", "read", "2"] for line in table)
    swept = vlmrb("compare", "--store", path, "--setting", "lambda_max", "--json").json["sweeps"]
    assert [(each["measure"], [point["value"] for point in each["lines"][0]["points"]]) for each in swept] == [
        ("value", [0.25, 0.5]),
        ("area", [0.25, 0.5]),
    ]
    refused = vlmrb("compare", "--store", path, "--setting", "gamma")
    assert refused.status != 0 and "these are: lambda_max" in refused.err


def test_compare_shows_discovery_and_consolidation_and_decides_by_it(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with Store(str(path)) as store:
        for seed in range(5):
            for settings in ({"values": [0.6, 0.6, 1.0]}, {"replay": "per", "scorer": None, "values": [0.0, 0.2, 0.1 * seed]}):
                writer = store.writer(made_run(store, seed=seed, **settings))
                for number in range(6):
                    writer.add_episode(Episode(1_000 * (number + 1), 0, number, 0, 10, 1.0, True))
                writer.flush()
    outcome = vlmrb("compare", "--store", path)
    assert "fifth success to 50 %" in outcome.out
    assert "95,000 [95,000, 95,000] of 295,000 (0/5 censored)" in outcome.out
    assert "vlm (oracle) is ahead of per in consolidation: 95,000 versus 295,000 steps" in outcome.out
    found = vlmrb("compare", "--store", path, "--json").json
    assert found["verdicts"][0]["measure"] == "consolidation"
    assert found["improvements"][0]["consolidation"]["difference"]["point"] == -200_000
    assert {result["method"]["label"]: result["phases"]["to_50"]["censored"] for result in found["results"]} == {
        "vlm (oracle)": 0, "per": 5
    }  # fmt: skip


def test_a_task_with_short_runs_gets_its_own_column(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with Store(str(path)) as store:
        made_run(store, values=[0.2, 0.6, 1.0])
        short = made_run(store, env="DoorKey-5x5", total_steps=50_000)
        writer = store.writer(short)
        writer.add_metric("eval/success_rate", 50_000, 0.5)
        writer.flush()
    results = vlmrb("compare", "--store", path, "--json").json["results"]
    known = {result["method"]["env"]: [step for step, found in result["at"].items() if found] for result in results}
    assert known == {"DoorKey-5x5": ["50000"], "MiniGrid-DoorKey-8x8-v0": ["100000", "200000", "300000"]}


def test_repeating_a_comparison_prints_the_same_intervals(seeds: Path) -> None:
    assert vlmrb("compare", "--store", seeds).out == vlmrb("compare", "--store", seeds).out


def test_runs_given_by_number_are_compared_even_while_running(seeds: Path) -> None:
    found = vlmrb("compare", 1, 11, "--store", seeds, "--json").json
    assert found["results"][0]["run_ids"] == [1, 11]
    assert any("only 2 seeds" in note for note in found["notes"])
    assert any("not finished: run 11" in note for note in found["notes"])


def test_comparing_on_an_unknown_metric_is_an_error_that_names_it(seeds: Path) -> None:
    outcome = vlmrb("compare", "--metric", "eval/fun", "--store", seeds)
    assert (outcome.status, "eval/fun" in outcome.err) == (2, True)


# -- doctor


def test_doctor_finds_no_problems_with_a_healthy_store(trained: Trained) -> None:
    outcome = vlmrb("doctor", "--store", trained.store, "--json")
    assert outcome.status == 0, outcome.out
    facts = outcome.json["facts"]
    assert outcome.json["problems"] == []
    assert facts["runs"] == 1
    assert facts["torch"].startswith("2.")
    assert "works" in facts["rendering"]
    assert facts["rendering of robots"].startswith("works without a screen (OpenGL: ")
    assert facts["embedded model"].startswith("loads (sha256:")
    assert "free" in facts["disk"]
    assert "no problems found" in vlmrb("doctor", "--store", trained.store).out


def test_doctor_hints_when_frames_cannot_be_stored_as_video(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "lossless H.264" in vlmrb("doctor", "--store", trained.store, "--json").json["facts"]["video"]
    monkeypatch.setattr("vlmrb.store.encoding.encoder_problem", lambda: "libx264: Encoder not found")
    outcome = vlmrb("doctor", "--store", trained.store, "--json")
    assert outcome.status == 0
    assert any("Encoder not found" in hint and "deflated" in hint for hint in outcome.json["hints"])


def test_doctor_backs_up_the_store(trained: Trained, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    assert vlmrb("doctor", "--backup", target, "--store", trained.store).status == 0
    assert vlmrb("runs", "--store", target, "--json").json[0]["run_id"] == 1
    assert latest_step(tmp_path / "copy-runs" / "1" / "checkpoints") == 1_600
    again = vlmrb("doctor", "--backup", target, "--store", trained.store)
    assert (again.status, "already exists" in again.out) == (1, True)


def test_doctor_reports_a_damaged_store(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    path.write_bytes(b"this is no database " * 500)
    outcome = vlmrb("doctor", "--store", path, "--json")
    assert outcome.status == 1
    assert len(outcome.json["problems"]) == 1
    assert "runs.db" in outcome.json["problems"][0]


def test_doctor_finds_no_problem_before_the_first_run(tmp_path: Path) -> None:
    outcome = vlmrb("doctor", "--store", tmp_path / "none.db", "--json")
    assert outcome.status == 0, outcome.out
    assert "does not exist yet" in outcome.json["facts"]["store"]
    assert list(tmp_path.iterdir()) == []


def test_doctor_hides_the_password_of_a_database_url() -> None:
    outcome = vlmrb("doctor", "--store", "postgresql+psycopg://me:secret@127.0.0.1:1/none")
    assert outcome.status == 1
    assert "secret" not in outcome.out + outcome.err


# -- the program itself


def test_the_program_runs_as_a_module_and_prints_its_version() -> None:
    outcome = subprocess.run([sys.executable, "-m", "vlmrb", "--version"], capture_output=True, text=True, timeout=60)
    assert (outcome.returncode, outcome.stdout.startswith("vlmrb ")) == (0, True)


def test_writing_to_a_closed_pipe_exits_quietly(trained: Trained) -> None:
    script = f"{sys.executable} -m vlmrb show 1 --store {trained.store} | true; exit ${{PIPESTATUS[0]}}"
    outcome = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert (outcome.returncode, outcome.stderr) == (0, "")
