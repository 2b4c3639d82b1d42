"""Curves from other programs: read from what they write, refused in words, and compared with runs of this project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.comparing import compare_view
from app.reasons import explain
from app.run_rows import settings_of
from vlmrb.__main__ import main
from vlmrb.errors import ConfigError
from vlmrb.foreign import Origin, import_runs, read_runs
from vlmrb.store import Store
from vlmrb.types import SUCCESS

ORIGIN = Origin("DoorKey-8x8", "dqn", "PER (SB3)")
STABLE_BASELINES = """\
time/total_timesteps,eval/success_rate,rollout/ep_rew_mean,time/fps,note
1000,,0.1,250,warm-up
2000,0.25,0.2,251,
3000,,nan,252,
4000,1.0,0.9,253,
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "runs.db")) as store:
        yield store


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_log_becomes_a_finished_run_with_its_numeric_columns(store: Store, tmp_path: Path) -> None:
    [run] = read_runs(written(tmp_path, "progress.csv", STABLE_BASELINES), ORIGIN, 3)
    assert run.left_out == ("note",)
    [run_id] = import_runs(store, [run], set_name="from SB3")
    row = store.run(run_id)
    assert (row.status, row.step, row.seed, row.env, row.replay, row.set_name) == (
        "finished", 4_000, 3, "DoorKey-8x8", "PER (SB3)", "from SB3"
    )  # fmt: skip
    assert store.metric_names(run_id) == [SUCCESS, "rollout/ep_rew_mean", "time/fps"]  # the column of words is no metric
    steps, values = store.metrics(run_id, SUCCESS)
    assert (steps.tolist(), values.tolist()) == ([2_000, 4_000], [0.25, 1.0])
    assert np.isnan(store.metrics(run_id, "rollout/ep_rew_mean")[1]).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wandb.csv", '"Step","run-1 - success","run-1 - success__MIN"\n100,0.5,0.5\n200,0.75,0.75\n'),
        ("commented.csv", '#{"t_start": 1.0}\nstep,run-1 - success\n100,0.5\n200,0.75\n'),
        ("bom.csv", "\ufeffGlobal_Step,run-1 - success\r\n100,0.5\r\n\r\n200,0.75\r\n"),
        ("records.jsonl", '{"step": 100, "run-1 - success": 0.5}\n{"step": 200, "run-1 - success": 0.75, "lr": null}\n'),
    ],
)
def test_steps_and_metrics_are_found_under_the_names_that_programs_give_them(tmp_path: Path, name: str, text: str) -> None:
    [run] = read_runs(written(tmp_path, name, text), ORIGIN, 0, rename={"run-1 - success": SUCCESS})
    assert run.curves[SUCCESS] == {100: 0.5, 200: 0.75}


def add_run(store: Store, replay: str, seed: int, success: float) -> int:
    config = {
        "env": "DoorKey-8x8",
        "algo": "dqn",
        "replay": replay,
        "seed": seed,
        "scorer": "oracle" if replay == "vlm" else None,
    }
    run_id = store.create_run(config, render_spec={}, success_rule="")
    writer = store.writer(run_id)
    for step in (1_000, 2_000, 3_000):
        writer.add_metric(SUCCESS, step, success * step / 3_000)
    writer.flush()
    store.release_run(run_id, "finished")
    return run_id


def test_imported_runs_are_a_baseline_and_claim_nothing_that_is_not_known(store: Store, tmp_path: Path) -> None:
    ours = [add_run(store, "vlm", seed, 0.9) for seed in range(5)]
    path = written(tmp_path, "a.csv", "step,eval/success_rate\n1000,0.1\n2000,0.2\n3000,0.3\n")
    theirs = import_runs(store, [run for seed in range(5) for run in read_runs(path, ORIGIN, seed)])
    [panel] = compare_view(store, [*ours, *theirs]).panels
    assert [(each.baseline.label, round(each.probability.point, 2)) for each in panel.improvements] == [("PER (SB3)", 1.0)]
    row = next(row for row in panel.rows if row.label == "PER (SB3)")
    assert not any(row.phases)  # nobody knows when its episodes first succeeded: not 'never'
    assert [run.run_id for task in explain(store, [*ours, *theirs]) for run in task.runs] == ours
    assert {"train_freq", "batch_size"} & set(" ".join(compare_view(store, [*ours, *theirs]).notes).split()) == set()
    shown = settings_of(store.run(theirs[0]))
    assert {setting.name for setting in shown} == {"env", "algo", "replay", "seed", "total_steps", "imported"}
    [origin] = [setting for setting in shown if setting.name == "imported"]
    assert (origin.value, "another program" in origin.description) == ("a", True)


def test_curves_that_compare_has_written_come_back_under_the_same_method(store: Store, tmp_path: Path, capsys) -> None:
    run_id = add_run(store, "per", 4, 0.8)
    curves = tmp_path / "curves.jsonl"
    assert main(["compare", str(run_id), "--curves", str(curves), "--store", store.url]) == 0
    assert main(["import", str(curves), "--store", store.url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n[")[2].join(["[", ""]) or "[]")
    assert [(each["method"], each["seed"], each["metrics"]) for each in told] == [("per", 4, [SUCCESS])]
    assert store.metrics(told[0]["run"], SUCCESS)[1].tolist() == store.metrics(run_id, SUCCESS)[1].tolist()


def test_event_files_that_were_exported_are_read_again(store: Store, tmp_path: Path, capsys) -> None:
    pytest.importorskip("tensorboard")
    run_id = add_run(store, "per", 0, 0.6)
    folder = tmp_path / "events"
    assert main(["export", str(run_id), "--folder", str(folder), "--store", store.url]) == 0
    [run] = read_runs(folder / f"run-{run_id}", ORIGIN, 0)
    assert list(run.curves) == [SUCCESS]
    np.testing.assert_allclose(list(run.curves[SUCCESS].values()), [0.2, 0.4, 0.6], rtol=1e-6)
    assert main(["export", str(run_id), "--folder", str(folder), "--store", store.url]) == 2
    assert "is not empty; choose another folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["export", str(run_id), "--folder", str(tmp_path / "file"), "--store", store.url]) == 2
    assert "choose a writable folder" in capsys.readouterr().err


BRANCH = '{"metric": "m", "values": [1], "steps": [1], "parent_step": 5}'


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "a,b\n1,2\n", "it has no column of steps; name one of its columns with --step: a, b"),
        ("a.csv", "", "no column of steps; name one of its columns with --step: none"),
        ("a.csv", "step,x\n1.5,2\n", "a.csv, line 2: the step is 1.5; a whole number from 0 up"),
        ("a.csv", "step,x\n-1,2\n", "line 2: the step is -1.0"),
        ("a.csv", "step,x\nten,2\n", "line 2: the step is 'ten'"),
        ("a.csv", "step,x\n1e99,2\n", "line 2: the step is 1e+99"),
        ("a.csv", "step,x\n1,hello\n", "it holds no numbers by step"),
        ("a.csv", f"step,{SUCCESS}\n1,0\n2,80\n", "eval/success_rate reaches from 0 to 80; success rates are fractions"),
        ("a.jsonl", "{\n", "a.jsonl, line 1: not JSON"),
        ("a.jsonl", "[1]\n", "line 1: [1] is no object"),
        ("a.jsonl", BRANCH, "line 1: it is a branch"),
        ("a.jsonl", '{"metric": "m", "values": [1, 2], "steps": [1]}', "lists of the same length"),
        ("a.jsonl", '{"metric": "m", "values": [1], "steps": [1], "seed": "x"}', "the seed is 'x'"),
        ("a.jsonl", '{"metric": "m", "values": [1], "steps": ["x"]}', "the step is None"),
        ("a.jsonl", '{"metric": "m", "values": [1], "steps": [1]}\n{"step": 1}', "import them from two files"),
        ("a.tfevents", "no events", "it holds no numbers by step"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path: Path, name: str, text: str, words: str) -> None:
    if name.endswith("tfevents"):
        pytest.importorskip("tensorboard")
    with pytest.raises(ConfigError) as refused:
        read_runs(written(tmp_path, name, text), ORIGIN, 0)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--algo", "dqn", "--method", "PER"], "env is ''; 1 to 100 printable characters"),
        (["--env", "e", "--algo", "dqn", "--method", "x" * 101], "method is 'xxx"),
        (["--env", "e", "--algo", "d\nqn", "--method", "x"], "algo is 'd\\nqn'"),
        (["--env", "e", "--algo", "a", "--method", "m", "--metric", "success"], "--metric: got 'success'; give THEIRS=OURS"),
        (["--env", "e", "--algo", "a", "--method", "m", "--metric", "y=z"], "there is no metric 'y'; it has x"),
        (["--env", "e", "--algo", "a", "--method", "m", "--step", "time"], "name one of its columns with --step: step, x"),
    ],
)
def test_nothing_is_written_if_one_of_several_files_is_refused(
    store: Store, tmp_path: Path, capsys, arguments: list[str], words: str
) -> None:
    good, bad = written(tmp_path, "good.csv", "step,x\n1,2\n"), written(tmp_path, "bad.csv", "step,x\n-1,2\n")
    assert main(["import", str(good), *arguments, "--store", store.url]) == 2
    assert words in capsys.readouterr().err
    assert main(["import", str(good), str(bad), "--env", "e", "--algo", "a", "--method", "m", "--store", store.url]) == 2
    assert store.runs() == []
