"""Curves as data that outlive the store they came from: one JSON object per run and line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict

from vlmrb.analysis.comparison import MeasuredRun, method_of


def curve_lines(runs: Iterable[MeasuredRun], metric: str, version: str) -> list[str]:
    """The lines of a `curves.jsonl`, by method and seed.

    A line holds env, algo, method, seed, every setting, status, the metric with its steps and values, and the version of
    VLM-RB that wrote it, and of a branch where it comes from (`assets/results/README.md` describes the format). Values that
    are not finite are null.
    """
    records = []
    for measured in runs:
        run, method = measured.run, method_of(measured.run)
        records.append(
            {
                "env": run.env,
                "algo": run.algo,
                "method": method.label,
                "seed": run.seed,
                "settings": dict(run.config),
                "status": run.status,
                "metric": metric,
                "steps": measured.steps.tolist(),
                "values": [value if math.isfinite(value) else None for value in measured.values.tolist()],
                "version": version,
                **({} if run.lineage is None else {"branch": asdict(run.lineage)}),
            }
        )
    records.sort(key=lambda record: (record["env"], record["algo"], record["method"], record["seed"]))
    return [json.dumps(record, ensure_ascii=False) for record in records]
