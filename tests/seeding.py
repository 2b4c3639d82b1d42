"""Fills an empty store with as much data as years of use: `python -m tests.seeding FILE` (or the URL of a PostgreSQL database).

Nothing in it was learned or measured: curves follow a formula, and the 'model' answers with the truth plus noise.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice

import numpy as np
from sqlalchemy import JSON, Connection, Table, func, insert, select

from tests.doorkey import record_clips
from vlmrb.config import make_config
from vlmrb.envs import make_env
from vlmrb.store import Store
from vlmrb.store import tables as t
from vlmrb.store.records import clip_rows
from vlmrb.types import CLIPS_PER_RUN

TOTAL_STEPS = 300_000
EVALUATIONS = 60  # points of each evaluation curve
SEEDS = 5
NOISY = "openai:http://127.0.0.1:8000/v1#noisy-oracle"
METHODS = (
    {"replay": "uniform"},
    {"replay": "per"},
    {"replay": "vlm", "scorer": "oracle"},
    {"replay": "vlm", "scorer": NOISY, "lambda_max": 0.25},
)
ENVS = ("DoorKey-8x8", "DoorKey-6x6", "DoorKey-12x12")
EVAL_METRICS = ("eval/success_rate", "eval/episodic_return", "eval/episodic_length")
TRAIN_METRICS = (
    "rollout/episodic_return", "rollout/episodic_length", "rollout/success_rate", "train/td_loss", "train/mean_q",
    "replay/vlm_weight", "replay/stale_scores", "scoring/backlog", "scoring/dropped", "scoring/clips_scored",
    "scoring/positive_rate", "scoring/latency_s",
)  # fmt: skip
STATUSES = ("finished",) * 8 + ("stopped", "failed", "interrupted")
ENDED_PID = 2**22 - 3  # no process has this id
TEMPLATES = 300  # recorded clips; all others are copies of them
BATCH = 10_000


@dataclass(frozen=True)
class SeededRun:
    """The data behind a run's rows."""

    run_id: int
    settings: dict[str, object]
    status: str
    step: int
    started: float
    clips: int


def seed_store(
    url: str, runs: int = 200, metric_rows: int = 1_000_000, clips: int = 100_000, rng: np.random.Generator | None = None
) -> None:
    """Fill the store at `url` (empty or not existing yet) with matched sets of runs of four methods.

    Args:
        url: a file, or a PostgreSQL database, which gets its rows by COPY.
        runs: number of runs; the clips are divided among those with a scorer.
        metric_rows: approximate number of curve rows.
        clips: number of clips, each with DoorKey frames, a score and a replay record.
        rng: generator for everything; None for seed 0.
    """
    rng = rng or np.random.default_rng(0)
    with Store(url) as store:
        assert store.runs(limit=1) == [], f"{store.name} is not empty"
        prompt_ids = [
            store.save_prompt(name, text).prompt_id for name, text in (("games", "A goal?"), ("progress", "A milestone?"))
        ]
        made = list(_runs(runs, clips, rng))
        with store._write() as connection:
            _insert(connection, t.runs, map(_run_row, made))
            _insert(connection, t.metrics, _metric_rows(made, metric_rows, rng))
            _insert(connection, t.episodes, _episode_rows(made, rng))
            _insert(connection, t.controls, _control_rows(made, prompt_ids))
            _insert(connection, t.draws, _draws_rows(made))
            _insert(connection, t.drawn_clips, _drawn_clips_rows(made, rng))
            templates = record_clips("DoorKey-8x8", TEMPLATES, lambda episode: (1.0, 0.5, 0.2, 0.1)[episode % 4], rng)
            _add_clips(connection, made, templates, prompt_ids, rng)
            if connection.dialect.name == "postgresql":
                _count_on(connection)


def _insert(connection: Connection, table: Table, rows: Iterable[dict[str, object]]) -> None:
    rows = iter(rows)
    if connection.dialect.name == "postgresql":
        _copy(connection, table, rows)
        return
    while batch := list(islice(rows, BATCH)):
        connection.execute(insert(table), batch)


def _copy(connection: Connection, table: Table, rows: Iterator[dict[str, object]]) -> None:
    if (first := next(rows, None)) is None:
        return
    names = list(first)
    as_json = [isinstance(table.c[name].type, JSON) for name in names]
    with connection.connection.cursor() as cursor, cursor.copy(f"COPY {table.name} ({', '.join(names)}) FROM STDIN") as copy:
        for row in chain([first], rows):
            copy.write_row(
                [json.dumps(row[n]) if j and row[n] is not None else row[n] for n, j in zip(names, as_json, strict=True)]
            )


def _count_on(connection: Connection) -> None:
    """Rows with ids of their own leave sequences behind."""
    for column in (t.runs.c.run_id, t.scores.c.score_id):
        newest = select(func.max(column)).scalar_subquery()
        connection.execute(select(func.setval(func.pg_get_serial_sequence(column.table.name, column.name), newest)))


def _runs(runs: int, clips: int, rng: np.random.Generator) -> Iterator[SeededRun]:
    chosen = [METHODS[run // SEEDS % len(METHODS)] for run in range(runs)]
    scored = max(sum("scorer" in method for method in chosen), 1)
    started = time.time() - 3_600.0 * runs
    for run, method in enumerate(chosen):
        matched_set = run // (SEEDS * len(METHODS))
        settings = {"env": ENVS[matched_set % len(ENVS)], "total_steps": TOTAL_STEPS, "seed": run % SEEDS, **method}
        status = STATUSES[int(rng.integers(len(STATUSES)))] if run % 7 == 3 else "finished"
        step = TOTAL_STEPS if status == "finished" else int(rng.integers(60_000, TOTAL_STEPS))
        share = clips // scored + (clips % scored if run == runs - 1 else 0) if "scorer" in method else 0
        yield SeededRun(run + 1, settings, status, step, started + 3_600.0 * run, share)


def _run_row(run: SeededRun) -> dict[str, object]:
    config = make_config(**run.settings)
    matched_set = (run.run_id - 1) // (SEEDS * len(METHODS)) + 1
    dead = run.status == "interrupted"
    counters = {"clips": run.clips, "clips_scored": run.clips, "positive": run.clips // 4, "unknown": 0, "stale": 3, "dropped": 0}
    return {
        "run_id": run.run_id,
        "name": f"{config.env} {config.replay} s{config.seed}",
        "status": "running" if dead else run.status,
        "config": config.model_dump(),
        "render_spec": _render_spec(config.env),
        "success_rule": "the episode terminated with a positive reward",
        "step": run.step,
        "steps_per_second": 480.0 + run.run_id % 60,
        "counters": counters,
        "created_at": run.started,
        "started_at": run.started + 1,
        "ended_at": None if dead else run.started + run.step / 480,
        "heartbeat_at": run.started + run.step / 480,
        "pid": ENDED_PID if dead else None,
        "pid_started_at": 1.0,
        "host": "seeded",
        "error": "ScorerDiedError: the scoring process ended" if run.status == "failed" else "",
        "tags": ["baseline"] if config.replay != "vlm" else ["vlm", "checked"][: 1 + run.run_id % 2],
        "set_name": f"{config.env} comparison {matched_set}",
    }


@cache
def _render_spec(env_id: str) -> dict[str, object]:
    env = make_env(make_config(env=env_id, replay="uniform"))
    env.close()
    return env.render_spec


def success_curve(run: SeededRun, steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A learning curve in [0, 1]: `vlm` rises first, some seeds late or never."""
    middle = {"uniform": 190_000, "per": 150_000, "vlm": 100_000}[str(run.settings["replay"])]
    middle *= rng.uniform(0.7, 1.5)
    curve = 1 / (1 + np.exp(-(steps - middle) / 22_000)) + rng.normal(0, 0.04, len(steps))
    return np.round(np.clip(curve, 0, 1) * 40) / 40


def _metric_rows(made: list[SeededRun], metric_rows: int, rng: np.random.Generator) -> Iterator[dict[str, object]]:
    per_run = metric_rows / len(made)
    points = max(int((per_run - len(EVAL_METRICS) * EVALUATIONS) / len(TRAIN_METRICS)), 2)
    for run in made:
        names = sorted((*EVAL_METRICS, *TRAIN_METRICS))
        for name in names:
            steps = np.linspace(0, run.step, (EVALUATIONS if name in EVAL_METRICS else points) + 1).astype(int)[1:]
            if name.endswith("success_rate"):
                values = success_curve(run, steps, rng)
            else:
                values = np.exp(-steps / 90_000) + rng.gamma(2.0, 0.05, len(steps))
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                yield {"run_id": run.run_id, "name": name, "step": step, "value": value}


def _episode_rows(made: list[SeededRun], rng: np.random.Generator, episodes: int = 200) -> Iterator[dict[str, object]]:
    for run in made:
        for number, step in enumerate(np.linspace(100, run.step, episodes).astype(int).tolist()):
            success = bool(rng.random() < step / TOTAL_STEPS)
            yield {
                "run_id": run.run_id, "step": step, "env_index": number % 8, "number": number, "seed": number, "length": 120,
                "episodic_return": 0.8 * success, "success": success,
            }  # fmt: skip


def _control_rows(made: list[SeededRun], prompt_ids: list[int | None]) -> Iterator[dict[str, object]]:
    for run in made:
        if run.settings["replay"] != "vlm" or run.run_id % 6:
            continue
        changes = (("lambda", 0.75, "applied", 90_000, ""), ("prompt", prompt_ids[1], "applied", 120_000, ""),
                   ("lambda", 7, "rejected", None, "lambda: got 7; allowed: 0 to 1"))  # fmt: skip
        for name, value, status, step, error in changes:
            yield {"run_id": run.run_id, "name": name, "value": value, "requested_at": run.started + 60, "status": status,
                   "applied_step": step, "error": error}  # fmt: skip


def _draws_rows(made: list[SeededRun]) -> Iterator[dict[str, object]]:
    for run in made:
        if run.clips:
            for step in _draw_steps(run):
                yield {"run_id": run.run_id, "step": step, "batches": 512, "drawn": 32_768, "by_labels": 16_384, "td_error": 0.02,
                       "clips": 900, "held": min(step, 100_000), "held_clips": 1_000,
                       "drawn_known": 32_000, "drawn_labelled": 31_000, "drawn_yes": 16_000, "drawn_progress": 15_000,
                       "held_known": 90_000, "held_labelled": 80_000, "held_yes": 20_000, "held_progress": 18_000}  # fmt: skip


def _drawn_clips_rows(made: list[SeededRun], rng: np.random.Generator) -> Iterator[dict[str, object]]:
    for run in made:
        for step in _draw_steps(run) if run.clips else ():
            numbers = rng.choice(run.clips, min(run.clips, 24), replace=False).tolist()
            for rank, number in enumerate(numbers, 1):
                yield {"run_id": run.run_id, "step": step, "clip_id": run.run_id * CLIPS_PER_RUN + number, "rank": rank,
                       "drawn": 100 - rank, "by_labels": 40, "td_error": 0.02, "held": 32}  # fmt: skip


def _draw_steps(run: SeededRun) -> list[int]:
    return list(range(4_000, run.step, max(4_000, run.step // 100)))


def _add_clips(
    connection: Connection, made: list[SeededRun], templates: list, prompt_ids: list[int | None], rng: np.random.Generator
) -> None:
    encoded = [clip_rows(0, clip) for clip in templates]
    for run in made:
        chosen = [encoded[at] for at in rng.integers(len(encoded), size=run.clips)]
        for start in range(0, run.clips, BATCH):
            block = range(start, min(start + BATCH, run.clips))
            rows = [_clip_row(run, number, *chosen[number], prompt_ids, rng) for number in block]
            _insert(connection, t.clips, (row for row, _ in rows))
            _insert(connection, t.clip_data, (data for _, data in rows))
            for table, extra in ((t.scores, _score_row), (t.clip_replay, _replay_row)):
                _insert(connection, table, [extra(run, row, rng) for row, _ in rows])
            _insert(connection, t.events, (event for row, _ in rows for event in _event_rows(row)))
            _insert(connection, t.human_labels, (_human_row(run, row) for row, _ in rows if row["human_label"] is not None))


def _clip_row(run: SeededRun, number: int, row: dict, data: dict, prompt_ids: list[int | None], rng: np.random.Generator):
    clip_id = run.run_id * CLIPS_PER_RUN + number
    share = run.step / max(run.clips / 8, 1)  # steps between the starts of two clips of one environment
    progress = row["progress"]
    if run.settings["scorer"] == "oracle":
        probability, prompt_id = float(progress), None
    else:
        probability = float(rng.beta(6, 2) if progress else rng.beta(2, 6))
        prompt_id = prompt_ids[number > run.clips // 2]
    label = probability >= 0.5
    judged = rng.random() < 0.01
    changed = {
        "clip_id": clip_id, "run_id": run.run_id, "number": number, "env_index": number % 8, "episode": number // 3, "stride": 8,
        "start_step": number % 8 + 8 * int(number // 8 * share / 8), "score_id": clip_id, "label": label,
        "probability": probability, "prompt_id": prompt_id, "disagreement": abs(probability - progress),
        "human_label": progress if judged else None, "superseded": number % 500 == 499,
    }  # fmt: skip
    return {**row, **changed}, {**data, "clip_id": clip_id}


def _score_row(run: SeededRun, row: dict, rng: np.random.Generator) -> dict[str, object]:
    oracle = run.settings["scorer"] == "oracle"
    odds = float(np.log(row["probability"] / (1 - row["probability"]))) if not oracle else 0.0
    return {
        "score_id": row["score_id"], "clip_id": row["clip_id"], "run_id": run.run_id, "created_at": run.started,
        "probability": row["probability"], "yes_logit": None if oracle else 10 + odds, "no_logit": None if oracle else 10.0,
        "threshold": 0.5, "label": row["label"], "scorer": run.settings["scorer"],
        "model": "oracle" if oracle else "noisy-oracle", "revision": "", "prompt_id": row["prompt_id"],
        "frame_indices": [] if oracle else [0, 4, 9, 13, 18, 22, 27, 31], "latency_s": 0.0 if oracle else 0.02, "error": "",
    }  # fmt: skip


def _replay_row(run: SeededRun, row: dict, rng: np.random.Generator) -> dict[str, object]:
    weight = min(row["start_step"] / 100_000, 0.5)
    by_label = row["length"] / 8_000 if row["label"] else 0.0
    return {
        "clip_id": row["clip_id"], "step": row["start_step"] + 300, "vlm_weight": weight,
        "td_error": float(rng.gamma(2.0, 0.03 if row["progress"] else 0.01)), "vlm_probability": weight * by_label,
        "uniform_probability": (1 - weight) * row["length"] / 100_000,
    }  # fmt: skip


def _event_rows(row: dict) -> Iterator[dict[str, object]]:
    for at, name, thing, color in row["events"]:
        yield {"run_id": row["run_id"], "step": row["start_step"] + 8 * at, "env_index": row["env_index"], "name": name,
               "object": thing, "color": color}  # fmt: skip


def _human_row(run: SeededRun, row: dict) -> dict[str, object]:
    agrees = row["human_label"] == row["label"]
    return {"clip_id": row["clip_id"], "agrees": agrees, "note": "", "created_at": run.started + 9_000, "label": row["label"]}


def main() -> None:
    """`python -m tests.seeding STORE`."""
    parser = argparse.ArgumentParser(description="fill an empty store with made-up runs, for measurements")
    parser.add_argument("store", help="a file, or the URL of a PostgreSQL database")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--metric-rows", type=int, default=1_000_000)
    parser.add_argument("--clips", type=int, default=100_000)
    arguments = parser.parse_args()
    start = time.perf_counter()
    seed_store(arguments.store, arguments.runs, arguments.metric_rows, arguments.clips)
    print(f"filled {arguments.store} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
