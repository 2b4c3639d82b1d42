"""Curves as data that outlive the store they came from: one JSON object per run and line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from vlmrb.analysis.comparison import MeasuredRun, method_of


def curve_lines(runs: Iterable[MeasuredRun], metric: str, version: str) -> list[str]:
    """The lines of a `curves.jsonl`, by method and seed.

    A line holds env, algo, method, seed, every setting, status, the metric with its steps and values, the run's phases, where
    it branched, and the version of VLM-RB that wrote it (`assets/results/README.md` describes the format). Values that are
    not finite are null.
    """
    records = [curve_record(measured, metric, version) for measured in runs]
    records.sort(key=lambda record: (record["env"], record["algo"], record["method"], record["seed"]))
    return [json.dumps(record, ensure_ascii=False) for record in records]


def curve_record(measured: MeasuredRun, metric: str, version: str) -> dict[str, Any]:
    """One line as data; see `curve_lines`."""
    run = measured.run
    return {
        "env": run.env,
        "algo": run.algo,
        "method": method_of(run).label,
        "seed": run.seed,
        "settings": {name: value for name, value in run.config.items() if name != "checkpoints"},  # of somebody's machines
        "status": run.status,
        "metric": metric,
        "steps": measured.steps.tolist(),
        "values": [value if math.isfinite(value) else None for value in measured.values.tolist()],
        "phases": None if measured.phases is None else asdict(measured.phases),
        "parent_id": run.parent_id,
        "parent_step": run.parent_step,
        "parent_moment": run.parent_moment,
        "continuation_seed": run.continuation_seed,
        "version": version,
    }
