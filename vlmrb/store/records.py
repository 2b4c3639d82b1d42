"""Records to rows and back. NumPy numbers become Python's here, so that no row can fail a whole flush later."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from sqlalchemy import Row, Select, select

from vlmrb.errors import StoreCorruptError
from vlmrb.events import shows_progress
from vlmrb.store import tables as t
from vlmrb.store.encoding import decode_frames, decode_snapshots, encode_frames, encode_snapshots
from vlmrb.store.text import clean, finite
from vlmrb.types import (
    CLIPS_PER_RUN,
    Clip,
    ClipReplay,
    ClipScore,
    ClipSummary,
    DrawnClip,
    Draws,
    Episode,
    Event,
    Kinds,
    Vote,
    spread,
)

_FOR_FILTERS = ("event_names", "label", "probability", "prompt_id", "disagreement", "spread")  # columns of clips

SCORE_COLUMNS = [
    t.scores.c[name]
    for name in ("clip_id", "probability", "answers", "votes", "yes_logit", "no_logit", "threshold", "scorer", "model",
                 "revision", "prompt_id", "frame_indices", "latency_s", "error", "asked", "logits")
]  # fmt: skip

MAX_EVENT_NAME, MAX_EVENT_NAMES = 60, 400
"""Characters that filters see of an event's name, and of all names in a clip: PostgreSQL limits an index entry to 2.7 kB."""

_Rows = dict[str, Any]


def episode_row(run_id: int, episode: Episode) -> _Rows:
    """The row of `episodes`."""
    return {
        "run_id": run_id, "step": int(episode.step), "env_index": int(episode.env_index), "number": int(episode.number),
        "seed": int(episode.seed), "length": int(episode.length), "episodic_return": float(episode.episodic_return),
        "success": None if episode.success is None else bool(episode.success),
    }  # fmt: skip


def event_row(run_id: int, step: int, env_index: int, event: Event) -> _Rows:
    """The row of `events`."""
    name, thing, color = (clean(part) for part in (event.name, event.object, event.color))
    return {"run_id": run_id, "step": int(step), "env_index": int(env_index), "name": name, "object": thing, "color": color}


def clip_rows(run_id: int, clip: Clip) -> tuple[_Rows, _Rows]:
    """The rows of `clips` and `clip_data` for a clip. Encodes its snapshots, which takes most of the time.

    What it shares with the clip before is not stored again: `clip_data` then has fewer pictures than the clip has steps.
    """
    assert clip.clip_id // CLIPS_PER_RUN == run_id, (clip.clip_id, run_id)
    strides = set(np.diff(clip.item_ids).tolist())
    assert len(clip) > 0 and len(strides) <= 1, clip.item_ids
    events = [(int(at), clean(event.name), clean(event.object), clean(event.color)) for at, event in clip.events]
    row = {
        "clip_id": int(clip.clip_id),
        "run_id": run_id,
        "number": int(clip.clip_id % CLIPS_PER_RUN),
        "env_index": int(clip.env_index),
        "episode": int(clip.episode),
        "start_step": clip.start_step,
        "stride": strides.pop() if strides else 1,
        "length": len(clip),
        "episodic_reward": float(clip.rewards.sum()),
        "closed_by": clip.closed_by,
        "events": events,
        "event_names": _event_names(events),
        "superseded": False,
        "progress": shows_progress(clip.events),
        "mission": clean(clip.mission),
    }
    fresh = clip.snapshots[clip.overlap :]
    codec, encode = ("snapshots", encode_snapshots) if clip.snapshots.ndim == 2 else ("frames", encode_frames)
    data = {
        "clip_id": int(clip.clip_id),
        "codec": codec,
        "shape": list(fresh.shape),
        "data": encode(fresh),
        "rewards": clip.rewards.astype("<f4").tobytes(),
    }
    return row, data


def _event_names(events: Iterable[tuple[int, str, str, str]]) -> str:
    """'|opened|opened door|': what `event_pattern` finds."""
    names = {name for _, name, thing, _ in events} | {f"{name} {thing}" for _, name, thing, _ in events if thing}
    text = "|".join(["", *sorted({name[:MAX_EVENT_NAME] for name in names}), ""]) if names else ""
    return text if len(text) <= MAX_EVENT_NAMES else text[: text.rfind("|", 0, MAX_EVENT_NAMES) + 1]


def event_pattern(event: str) -> str:
    """What `event_names` contains if a clip has an event with this name ('opened') or name and object ('opened door')."""
    return f"|{event[:MAX_EVENT_NAME]}|"


def names_of(event_names: str) -> list[str]:
    """The names in a clip's `event_names`."""
    return [name for name in event_names.split("|") if name]


def score_row(run_id: int, score: ClipScore) -> _Rows:
    """The row of `scores`."""
    probability = finite(score.probability)  # NaN means no answer
    return {
        "clip_id": int(score.clip_id),
        "run_id": run_id,
        "created_at": time.time(),
        "probability": probability,
        "answers": [finite(answer) for answer in score.answers] if len(score.answers) > 1 else None,
        "votes": [_vote_row(vote) for vote in score.votes] or None,
        "yes_logit": finite(score.yes_logit),
        "no_logit": finite(score.no_logit),
        "threshold": float(score.threshold),
        "label": None if probability is None else bool(score.label),
        "scorer": clean(score.scorer),
        "model": clean(score.model),
        "revision": clean(score.revision),
        "prompt_id": score.prompt_id,
        "frame_indices": [int(index) for index in score.frame_indices],
        "latency_s": finite(score.latency_s) or 0.0,
        "error": clean(score.error),
        "asked": clean(score.asked),
        "logits": [[finite(yes), finite(no)] for yes, no in score.logits] or None,
    }


def _vote_row(vote: Vote) -> list[Any]:
    answers = [finite(answer) for answer in vote.answers]
    return [clean(vote.member), answers, round(finite(vote.latency_s) or 0.0, 6), clean(vote.error)]


def votes_of(stored: list[list[Any]] | None) -> tuple[Vote, ...]:
    """The column `votes` as records."""
    return tuple(Vote(member, tuple(answers), latency_s, error) for member, answers, latency_s, error in stored or ())


def spread_of(row: _Rows) -> float | None:
    """The `spread` of the clip of a row of `scores`."""
    answers = row.get("answers") or [row["probability"]]  # rows that an earlier version set aside lack columns
    return spread(answers, votes_of(row.get("votes")))


def trial_score_row(trial_id: int, score: ClipScore) -> _Rows:
    """The row of `trial_scores`."""
    row = score_row(0, score)
    names = ("clip_id", "probability", "answers", "votes", "logits", "yes_logit", "no_logit", "frame_indices", "latency_s",
             "error", "asked")  # fmt: skip
    return {"trial_id": trial_id, **{name: row[name] for name in names}}


def clip_replay_row(replay: ClipReplay) -> _Rows:
    """The row of `clip_replay`."""
    return {
        "clip_id": int(replay.clip_id), "step": int(replay.step), "td_error": finite(replay.td_error),
        "vlm_weight": finite(replay.vlm_weight), "vlm_probability": finite(replay.vlm_probability) or 0.0,
        "uniform_probability": finite(replay.uniform_probability) or 0.0,
    }  # fmt: skip


def draws_rows(run_id: int, draws: Draws) -> tuple[_Rows, list[_Rows]]:
    """The row of `draws`, and those of `drawn_clips`."""
    at = {"run_id": run_id, "step": int(draws.step)}
    row = {
        **at,
        **{name: int(getattr(draws, name)) for name in ("batches", "drawn", "clips", "held", "held_clips")},
        "by_labels": None if draws.by_labels is None else int(draws.by_labels),
        "td_error": finite(draws.td_error),
        **{f"drawn_{kind}": int(value) for kind, value in asdict(draws.of_drawn).items()},
        **{f"held_{kind}": int(value) for kind, value in asdict(draws.of_held).items()},
    }
    counts = ("clip_id", "rank", "drawn", "by_labels", "held")
    sample = [
        {**at, **{name: int(getattr(clip, name)) for name in counts}, "td_error": finite(clip.td_error)} for clip in draws.sample
    ]
    return row, sample


def draws_of(row: Row[Any], sample: Iterable[Row[Any]]) -> Draws:
    """The rows of `draws_rows` as a record."""
    kinds = {whose: Kinds(*(getattr(row, f"{whose}_{kind.name}") for kind in fields(Kinds))) for whose in ("drawn", "held")}
    clips = (DrawnClip(clip.clip_id, clip.rank, clip.drawn, clip.by_labels, _number(clip.td_error), clip.held) for clip in sample)
    return Draws(
        row.step, row.batches, row.drawn, row.by_labels, _number(row.td_error), row.clips, row.held, row.held_clips,
        kinds["drawn"], kinds["held"], tuple(clips),
    )  # fmt: skip


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def summaries() -> Select[Any]:
    """The query that `clip_summary` reads: clips with their newest score, without the columns that only filters need."""
    c = t.clips.c
    columns = [column for column in c if column.name not in _FOR_FILTERS]
    score = [column.label(f"s_{column.name}") for column in SCORE_COLUMNS]
    return select(*columns, *score).outerjoin(t.scores, t.scores.c.score_id == c.score_id)


def clip_summary(row: Row[Any]) -> ClipSummary:
    """A row of `summaries` as a record."""
    score = None
    if row.s_clip_id is not None:
        score = _score({column.name: getattr(row, f"s_{column.name}") for column in SCORE_COLUMNS})
    return ClipSummary(
        clip_id=row.clip_id,
        run_id=row.run_id,
        number=row.number,
        env_index=row.env_index,
        episode=row.episode,
        start_step=row.start_step,
        end_step=row.start_step + (row.length - 1) * row.stride,
        length=row.length,
        episodic_reward=row.episodic_reward,
        closed_by=row.closed_by,
        superseded=row.superseded,
        events=tuple((at, Event(*rest)) for at, *rest in row.events),
        score=score,
        progress=row.progress,
        human_label=row.human_label,
        mission=row.mission,
    )


def clip_score(row: Row[Any]) -> ClipScore:
    """A row of `SCORE_COLUMNS` as a record."""
    return _score(row._asdict())


def _score(values: _Rows) -> ClipScore:
    lists = {"frame_indices": tuple(values["frame_indices"]), "answers": tuple(values["answers"] or ())}
    lists["logits"] = tuple((yes, no) for yes, no in values["logits"] or ())
    return ClipScore(**(values | lists | {"votes": votes_of(values["votes"])}))


def snapshots(row: Row[Any]) -> np.ndarray:
    """Decode a row of `clip_data`: uint8 [T, S] or [T, H, W, 3].

    Raises:
        StoreCorruptError: the row is damaged.
    """
    try:
        shape = tuple(int(side) for side in row.shape)
    except (TypeError, ValueError):
        shape = ()
    try:
        if row.codec == "snapshots" and len(shape) == 2:
            return decode_snapshots(row.data, shape)
        if row.codec == "frames" and len(shape) == 4:
            return decode_frames(row.data, shape)
    except StoreCorruptError as error:
        raise StoreCorruptError(f"clip {row.clip_id} is damaged: {error}. Restore a backup, or delete its run") from error
    raise StoreCorruptError(f"clip {row.clip_id} is stored as {row.codec!r} of shape {row.shape}, which this version cannot read")


def whole_clip(summary: ClipSummary, stride: int, pictures: np.ndarray, data: Row[Any]) -> Clip:
    """A clip as recorded.

    Args:
        summary: its row of `clips`.
        stride: consecutive items lie this many ids apart.
        pictures: its snapshots or frames.
        data: its row of `clip_data`.

    Raises:
        StoreCorruptError: the rows do not match.
    """
    if not len(data.rewards) == 4 * summary.length == 4 * len(pictures):
        raise StoreCorruptError(
            f"clip {summary.clip_id} is damaged: it does not have {summary.length} rewards and frames. Restore a backup"
        )
    item_ids = summary.start_step + stride * np.arange(summary.length, dtype=np.int64)
    rewards = np.frombuffer(data.rewards, "<f4").astype(np.float32)
    return Clip(summary.clip_id, summary.env_index, summary.episode, item_ids, pictures, rewards, summary.events,
                summary.closed_by, summary.length - int(data.shape[0]), summary.mission)  # fmt: skip
