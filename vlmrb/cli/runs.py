"""Commands that show runs: runs, show, curve, draws."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vlmrb.analysis.agreement import Agreement, judge
from vlmrb.analysis.comparison import method_of
from vlmrb.cli import text
from vlmrb.cli.clips import label_word
from vlmrb.cli.live import change_json, outcome
from vlmrb.cli.options import add_command, add_run_argument, positive_integer, step_count
from vlmrb.cli.score import agreement_json
from vlmrb.config import replay_ratio
from vlmrb.errors import CheckpointError, NotFoundError
from vlmrb.retention import retention_of
from vlmrb.types import CLOCK_S, SUCCESS, Lineage, RunCounters, RunSize

if TYPE_CHECKING:
    from vlmrb.branching import BranchPoint

STATUSES = ("created", "running", "paused", "finished", "stopped", "failed", "interrupted")


def add(commands: Any) -> None:
    """Register the commands."""
    parser = add_command(
        commands, "runs", list_runs, "list the runs, newest first", "python -m vlmrb runs --status finished --limit 20"
    )
    parser.add_argument("--status", choices=STATUSES, help="only runs with this status")
    parser.add_argument(
        "--limit", type=positive_integer, metavar="N", default=50, help="maximum number of runs to list (default: 50)"
    )

    parser.add_argument("--sizes", action="store_true", help="add what each run takes: its rows, and the files in its folder")

    parser = add_command(
        commands, "show", show_run, "show a run: settings, counters, latest metrics, live changes", "python -m vlmrb show 3"
    )
    add_run_argument(parser)

    parser = add_command(
        commands,
        "curve",
        show_curve,
        "print a metric of a run by step",
        "python -m vlmrb curve 3 --metric rollout/episodic_return --json",
    )
    add_run_argument(parser)
    parser.add_argument(
        "--metric",
        metavar="M",
        default=SUCCESS,
        help=f"name of the metric, as shown by 'show' (default: {SUCCESS})",
    )
    parser.add_argument("--since", type=step_count, metavar="STEP", default=0, help="only from this step on")

    parser = add_command(
        commands,
        "draws",
        show_draws,
        "show what the batches before a step drew: the clips, how often, and who chose them",
        "python -m vlmrb draws 3 --at 120000",
    )
    add_run_argument(parser)
    parser.add_argument("--at", type=step_count, metavar="STEP", help="the recorded step nearest to this one (default: the last)")


def list_runs(arguments: argparse.Namespace) -> int:
    """`runs`: one line per run."""
    from vlmrb.housekeeping import size_of_run
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        rows = [
            (item.run, item.latest_success, item.best_success)
            for item in store.run_list(status=arguments.status, limit=arguments.limit)
        ]
        sizes = {run.run_id: size_of_run(store, run.run_id) for run, _, _ in rows} if arguments.sizes else {}
    if arguments.json:
        text.print_json(
            [
                text.to_json(run)
                | {"success_rate": latest, "best_success_rate": best}
                | ({"size": sizes[run.run_id]} if sizes else {})
                for run, latest, best in rows
            ]
        )
    elif not rows:
        print(f"no {f'{arguments.status} ' if arguments.status else ''}runs yet; start one with: python -m vlmrb train")
    else:
        headers = [
            "run",
            "name",
            "status",
            "env",
            "algo",
            "replay",
            "ratio",
            "seed",
            "steps",
            "success",
            "best",
            "steps/s",
            "started",
        ]
        headers += ["rows", "in the store", "files"] * bool(sizes)
        headers += ["branch of"] * any(run.lineage for run, _, _ in rows)
        text.print_table(
            headers,
            [
                [
                    run.run_id,
                    text.shorten(run.name, 40),
                    run.status,
                    run.env,
                    run.algo,
                    text.shorten(method_of(run).label, 40),
                    text.number(replay_ratio(run.config)),
                    run.seed,
                    f"{run.step}/{run.total_steps}",
                    text.percent(latest),
                    text.percent(best),
                    text.number(run.steps_per_second, 4),
                    text.ago(run.started_at or run.created_at),
                    *(_size_cells(sizes[run.run_id]) if sizes else ()),
                    f"{run.parent_id}@{run.parent_step}" if run.lineage else "–",
                ][: len(headers)]
                for run, latest, best in rows
            ],
        )
    return 0


def show_run(arguments: argparse.Namespace) -> int:
    """`show RUN`: everything except curves and clips."""
    from vlmrb.branching import BranchPoint, branch_points
    from vlmrb.housekeeping import size_of_run
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        run = store.run(arguments.run_id)
        latest = {name: _latest(store, run.run_id, name) for name in store.metric_names(run.run_id)}
        changes = store.live_changes(run.run_id)
        clips = store.count_clips(run.run_id)
        folder = store.folder_of_run(run.run_id)
        points, unread = list[BranchPoint](), ""
        try:
            points = branch_points(store, run.run_id)
        except CheckpointError as error:  # they may be elsewhere
            unread = str(error)
        labels = _labels(store, run.run_id) if run.scorer is not None else None
        size = size_of_run(store, run.run_id)
    if arguments.json:
        judged = None if labels is None else agreement_json(labels)
        text.print_json(
            text.to_json(run)
            | {
                "replay_ratio": replay_ratio(run.config),
                "clips": clips,
                "folder": folder,
                "branch_points": points,
                "metrics": latest,
                "controls": [change_json(each) for each in changes],
                "labels": judged,
                "size": size,
            }
        )
        return 0
    counted = text.to_json(replace(run.counters, unknown_reason=""))  # which has a line of its own
    text.print_pairs(
        {
            "run": f"{run.run_id} ({run.name})",
            "status": run.status + (f": {run.error}" if run.error else ""),
            "task": f"{run.env}, {run.algo}, {method_of(run).label}, seed {run.seed}",
            "replay ratio": f"{text.number(replay_ratio(run.config))} samples drawn per stored transition",
            "steps": f"{run.step} of {run.total_steps}, {text.number(run.steps_per_second, 4)} per second",
            "success": run.success_rule or "–",
            "clips": f"{clips} stored; " + ", ".join(f"{name} {value}" for name, value in counted.items() if value != ""),
            **({"unknown": _unknown(run.counters)} if run.counters.unknown else {}),
            **({} if labels is None else {"labels": _labels_in_words(labels) + _of_those_kept(run.config)}),
            **({} if run.lineage is None else {"branch": _lineage(run.lineage)}),
            **({"checkpoints": unread or _points(points)} if points or unread else {}),
            "created": text.ago(run.created_at),
            "last heartbeat": text.ago(run.heartbeat_at),
            "size": _size_in_words(size),
            "files": str(folder),
        }
    )
    print("\nsettings")
    text.print_pairs({f"  {name}": value for name, value in run.config.items()})
    if latest:
        print("\nlatest metrics")
        text.print_pairs({f"  {name}": text.number(value, 4) for name, value in latest.items() if name != CLOCK_S})
    if changes:
        print("\nlive changes")
        text.print_table(
            ["  #", "change", "value", "status"],
            [[f"  {row.change_id}", row.name, row.value if row.value is not None else "–", outcome(row)] for row in changes],
        )
    return 0


def show_curve(arguments: argparse.Namespace) -> int:
    """`curve RUN`: step and value, tab-separated."""
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        run = store.run(arguments.run_id)
        steps, values = store.metrics(run.run_id, arguments.metric, since_step=arguments.since - 1)
        names = store.metric_names(run.run_id) if not len(steps) else []
    if not len(steps) and arguments.metric not in names:
        known = ", ".join(names) or "none yet"
        raise NotFoundError(f"run {run.run_id} has no metric {arguments.metric!r}; it has: {known}")
    if arguments.json:
        text.print_json({"run_id": run.run_id, "metric": arguments.metric, "steps": steps, "values": values})
        return 0
    print(f"step\t{text.plain(arguments.metric)}")
    for step, value in zip(steps.tolist(), values.tolist(), strict=True):
        print(f"{step}\t{value:.{13 if arguments.metric == CLOCK_S else 6}g}")
    return 0


def show_draws(arguments: argparse.Namespace) -> int:
    """`draws RUN`: a sentence, and one line per clip."""
    from vlmrb.analysis.drawn import by_chance, chooser_of, label_of, words_of
    from vlmrb.store import Store

    with Store(arguments.store, create=False) as store:
        run = store.run(arguments.run_id)
        found = store.draws_near(run.run_id, 2**62 if arguments.at is None else arguments.at)
        steps = store.draw_steps(run.run_id)
        known = store.clips_by_id([drawn.clip_id for drawn in found.sample])
        clips = {clip_id: store.as_judged_in(run, clip) for clip_id, clip in known.items()}
    if arguments.json:
        text.print_json({"run_id": run.run_id, "steps": steps, "draws": found, "clips": clips})
        return 0
    print(f"{words_of(found, label_of(chooser_of(run)))}\n")
    text.print_table(
        ["rank", "clip", "draws", "× chance", "by labels", "|TD error|", "age", "label", "events"],
        [
            [
                drawn.rank,
                drawn.clip_id,
                drawn.drawn,
                f"{drawn.drawn / chance:.2g}" if (chance := by_chance(found, drawn)) else "–",
                "–" if found.by_labels is None else drawn.by_labels,
                f"{drawn.td_error:.2g}",
                found.step - clip.end_step if clip else "–",
                label_word(clip.score) if clip else "deleted",
                ", ".join(dict.fromkeys(str(event) for _, event in clip.events)) if clip else "",
            ]
            for drawn in found.sample
            for clip in [clips.get(drawn.clip_id)]
        ],
    )
    return 0


def _unknown(counters: RunCounters) -> str:
    """How many of the clips scored have no usable answer, and why; as a warning if they are many."""
    if counters.unknown_notice:
        return f"warning: {counters.unknown_notice}"
    share = f"{counters.unknown} of {counters.clips_scored} scored clips ({text.percent(counters.unknown_rate)})"
    return share + (f": {counters.unknown_reason}" if counters.unknown_reason else "")


def _lineage(lineage: Lineage) -> str:
    seed = f", continuation seed {lineage.continuation_seed}" if lineage.continuation_seed else ""
    moment = "" if lineage.parent_moment == "step" else f" ({lineage.parent_moment})"
    return f"of run {lineage.parent_id} at step {lineage.parent_step}{moment}{seed}"


def _points(points: Sequence[BranchPoint]) -> str:
    """Where the run can be branched off, and what that takes on the disk."""
    words = [
        f"step {point.step} ({point.moment if point.moment != 'step' else 'kept' if point.kept else 'to resume from'}, "
        f"{text.size(point.size)})"
        for point in points
    ]
    return "; ".join(words)


def _labels(store: Any, run_id: int) -> Agreement | None:
    """Agreement of the latest labels of a run's clips with the simulator's events; None if no clip has a label."""
    clips = [clip for clip in store.clips(run_id, limit=store.count_clips(run_id) or 1) if clip.score is not None]
    if not clips:
        return None
    return judge(
        [clip.score.label for clip in clips], [clip.score.probability for clip in clips], [clip.progress for clip in clips]
    )


def _labels_in_words(labels: Agreement) -> str:
    table = labels.confusion
    return (
        f"{text.percent(table.positive_rate)} yes; the simulator saw progress in {text.percent(labels.truth_rate)}: "
        f"precision {text.number(table.precision)}, recall {text.number(table.recall)}, AUC {text.number(labels.auc)}"
    )


def _of_those_kept(config: dict[str, Any]) -> str:
    """What clips a judgement of labels is about, where that is not all of them."""
    retention = retention_of(config)
    return f" (of the clips that are still there: keep_clips is {retention})" if retention.removes else ""


def _size_cells(size: RunSize) -> list[str]:
    return [f"{size.rows:,}", text.size(size.store_bytes), text.size(size.folder_bytes)]


def _size_in_words(size: RunSize) -> str:
    tables = ", ".join(f"{name} {each.rows:,} ({text.size(each.bytes)})" for name, each in size.tables.items())
    rows, in_store, files = _size_cells(size)
    return f"{rows} rows, {in_store} in the store{f': {tables}' if tables else ''}; {files} of checkpoints and logs"


def _latest(store: Any, run_id: int, metric: str) -> float | None:
    _, values = store.metrics(run_id, metric)
    return float(values[-1]) if len(values) else None
