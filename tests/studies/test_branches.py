"""A real study of branches: each seed's trunk is stopped at its moment, and every arm continues it."""

from __future__ import annotations

import json
from pathlib import Path

from vlmrb.__main__ import main
from vlmrb.store import Store

FILE = """
title = "Branches"
seeds = [0]

[claim]
text = "PER consolidates faster."
measure = "consolidation_to_50"
better = "per"
than = ["uniform"]

[settings]
env = "CartPole-v1"
success_return = 30.0
total_steps = 200_000
eval_interval = 100
eval_episodes = 2
learning_starts = 300
hidden_size = 16
n_envs = 2
keep_clips = false

[branch]
at = "fifth-success"
steps = 400

[trunk]
replay = "uniform"

[arms.per]
replay = "per"

[arms."per no weights"]
replay = "per"
importance_weights = false

[arms.uniform]
replay = "uniform"
"""


def test_every_arm_continues_the_same_run_which_is_stopped_then(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(FILE, encoding="utf-8")
    assert main(["study", "run", str(tmp_path / "b.toml"), "--store", str(tmp_path / "runs.db"), "--wait", "--json"]) == 0
    with Store(str(tmp_path / "runs.db")) as store:
        trunk, *branches = sorted(store.runs(), key=lambda run: run.run_id)
    assert trunk.status == "stopped" and trunk.step < 200_000
    assert [(run.replay, run.parent_id, run.step - (run.parent_step or 0)) for run in branches] == [
        ("per", trunk.run_id, 400),
        ("per", trunk.run_id, 400),
        ("uniform", trunk.run_id, 400),
    ]
    lines = [json.loads(text) for text in (tmp_path / "studies" / "b" / "curves.jsonl").read_text("utf-8").splitlines()]
    assert [line["arm"] for line in lines] == ["trunk", "per", "per no weights", "uniform"]
    # what the trunk and an arm have in common is no default of the arm's method
    assert [run.config["importance_weights"] for run in branches] == [True, False, False]
    assert lines[0]["moment"] is not None and lines[1]["parent_step"] == branches[0].parent_step
    assert "every arm continues it" in (tmp_path / "studies" / "b" / "report.md").read_text("utf-8").lower()
