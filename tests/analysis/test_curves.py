"""Curves as data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vlmrb.__main__ import main
from vlmrb.config import make_config
from vlmrb.store import Store


def run_with_curve(store: Store, values: list[float], **settings: object) -> int:
    config = make_config(total_steps=len(values) * 10, env="DoorKey-5x5", **settings)
    run_id = store.create_run(config.model_dump(), render_spec={}, success_rule="")
    writer = store.writer(run_id)
    for number, value in enumerate(values, 1):
        writer.add_metric("eval/success_rate", 10 * number, value)
    writer.flush()
    store.release_run(run_id, "finished")
    return run_id


def test_compare_writes_one_line_per_run_that_says_what_made_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, file = str(tmp_path / "runs.db"), tmp_path / "curves.jsonl"
    with Store(url) as store:
        run_with_curve(store, [0.0, 1 / 3], replay="per", seed=1)
        run_with_curve(store, [0.25, 1.0], replay="per", seed=0, importance_weights=False, learning_rate=1e-3)
    assert main(["compare", "--store", url, "--curves", str(file)]) == 0
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(line["method"], line["seed"], line["steps"]) for line in lines] == [
        ("per", 1, [10, 20]),
        ("per (no weights)", 0, [10, 20]),
    ]
    np.testing.assert_allclose(lines[0]["values"], [0.0, 1 / 3], atol=1e-6)
    assert lines[1]["settings"]["learning_rate"] == 1e-3 and lines[1]["settings"]["importance_weights"] is False
    assert lines[0]["phases"] | {"first_success": None, "fifth_success": None, "to_50": None, "horizon": 20} == lines[0]["phases"]
    assert (lines[0]["parent_id"], lines[0]["parent_step"], lines[0]["parent_moment"]) == (None, None, "")
    assert {"env", "algo", "status", "metric", "version"} <= set(lines[0]) and lines[0]["settings"]["n_step"] == 3
    assert main(["compare", "--store", url, "--curves", str(tmp_path / "none" / "x.jsonl")]) == 2
    assert "--curves" in capsys.readouterr().err
