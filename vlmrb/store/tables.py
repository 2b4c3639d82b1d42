"""The tables. A change here needs a migration in `migrations/versions`; a test compares the two.

Times are seconds since the epoch, steps are environment steps. Nothing here is specific to one database.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
    func,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# in SQLite an INTEGER PRIMARY KEY needs no separate index and counts up by itself
BigId = BigInteger().with_variant(Integer, "sqlite")


def _run_id(**kwargs: Any) -> Column[int]:
    return Column("run_id", Integer, ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=False, **kwargs)


def _clip_id(**kwargs: Any) -> Column[int]:
    return Column("clip_id", BigId, ForeignKey("clips.clip_id", ondelete="CASCADE"), nullable=False, **kwargs)


def _logits() -> Column[Any]:
    """[[yes, no], …] of several answers; NULL if there is one, or where nobody knows them."""
    return Column("logits", JSON(none_as_null=True))


def _answers() -> Column[Any]:
    """P(yes) of each question as a list; NULL if `probability` is the only answer."""
    return Column("answers", JSON(none_as_null=True))


def _votes() -> Column[Any]:
    """What each member of a vote or cascade said, [[member, [P(yes), …], latency in s, error], …]; NULL for a scorer alone."""
    return Column("votes", JSON(none_as_null=True))


runs = Table(
    "runs",
    metadata,
    Column("run_id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", String(20), nullable=False),
    Column("config", JSON, nullable=False),
    Column("render_spec", JSON, nullable=False),
    Column("success_rule", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("steps_per_second", Float),
    Column("counters", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("heartbeat_at", Float),
    Column("pid", Integer),
    Column("pid_started_at", Float),
    Column("pid_identity", String(80)),  # NULL in rows of earlier versions; see `liveness`
    Column("host", String(255)),
    Column("owner", String(32)),  # what the process that has the run knows; see `liveness`
    Column("error", Text, nullable=False),
    Column("tags", JSON, nullable=False, server_default="[]"),
    Column("set_name", Text, nullable=False, server_default=""),
    Column("parent_id", Integer),  # no foreign key: the number stays readable when the parent is deleted
    Column("parent_step", BigInteger),
    Column("parent_moment", String(40), nullable=False, server_default=""),
    Column("continuation_seed", Integer, nullable=False, server_default="0"),
    sqlite_autoincrement=True,  # the id of a deleted run is never reused
)

metrics = Table(
    "metrics",
    metadata,
    _run_id(primary_key=True),
    Column("name", Text, primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("value", Float),  # NULL for NaN
    sqlite_with_rowid=False,
)

episodes = Table(
    "episodes",
    metadata,
    _run_id(primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("env_index", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("length", Integer, nullable=False),
    Column("episodic_return", Float, nullable=False),
    Column("success", Boolean),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("event_id", BigId, primary_key=True),
    _run_id(),
    Column("step", BigInteger, nullable=False),
    Column("env_index", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("color", Text, nullable=False),
)
Index(None, events.c.run_id, events.c.step)

clips = Table(
    "clips",
    metadata,
    Column("clip_id", BigId, primary_key=True, autoincrement=False),
    _run_id(),
    Column("number", Integer, nullable=False),
    Column("env_index", Integer, nullable=False),
    Column("episode", Integer, nullable=False),
    Column("start_step", BigInteger, nullable=False),
    Column("stride", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    Column("episodic_reward", Float, nullable=False),
    Column("closed_by", String(20), nullable=False),
    Column("events", JSON, nullable=False),  # [[index, name, object, color], …]
    Column("event_names", Text, nullable=False),  # '|opened|opened door|', for filters
    Column("superseded", Boolean, nullable=False),
    Column("score_id", BigInteger),  # the newest score; no foreign key: the tables would refer to each other
    Column("label", Boolean),  # of the newest score
    Column("probability", Float),  # of the newest score
    Column("progress", Boolean, nullable=False, server_default=false()),  # the simulator saw progress
    Column("prompt_id", Integer),  # of the newest score
    Column("disagreement", Float),  # |probability − progress|
    Column("human_label", Boolean),  # the right label according to the newest human verdict
    Column("mission", Text, nullable=False, server_default=""),
    Column("spread", Float),  # of the newest score: largest − smallest P(yes) among its voters; NULL for fewer than two
    UniqueConstraint("run_id", "number"),
)
# Everything that clips are filtered and sorted by, so that only the rows of the page are read. Ids sort by run, then by
# time: a run is a range of ids.
Index(
    "ix_clips_browse",
    clips.c.superseded,
    clips.c.clip_id,
    clips.c.run_id,
    clips.c.start_step,
    clips.c.score_id,
    clips.c.label,
    clips.c.probability,
    clips.c.progress,
    clips.c.prompt_id,
    clips.c.disagreement,
    clips.c.human_label,
    clips.c.spread,
    clips.c.event_names,
)
_votes_differ = clips.c.spread.is_not(None)
Index("ix_clips_spread", clips.c.spread, clips.c.clip_id, sqlite_where=_votes_differ, postgresql_where=_votes_differ)
# for a page in these orders SQLite reads all rows of the first index: it would only write more with others
_with_answer = and_(clips.c.superseded.is_(False), clips.c.probability.is_not(None))
for _column in (clips.c.probability, clips.c.disagreement):
    _index = Index(f"ix_clips_{_column.name}", _column, clips.c.clip_id, postgresql_where=_with_answer)
    _index.ddl_if(dialect="postgresql")

clip_data = Table(
    "clip_data",
    metadata,
    _clip_id(primary_key=True, autoincrement=False),
    Column("codec", String(20), nullable=False),
    Column("shape", JSON, nullable=False),
    Column("rewards", LargeBinary, nullable=False),  # float32, little-endian
    Column("data", LargeBinary, nullable=False),
)

prompts = Table(
    "prompts",
    metadata,
    Column("prompt_id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("name", "version"),
)

scores = Table(
    "scores",
    metadata,
    Column("score_id", BigId, primary_key=True),
    _clip_id(),
    Column("run_id", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("probability", Float),
    _answers(),
    _votes(),
    Column("yes_logit", Float),
    Column("no_logit", Float),
    Column("threshold", Float, nullable=False),
    Column("label", Boolean),
    Column("scorer", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("prompt_id", Integer, ForeignKey("prompts.prompt_id")),
    Column("frame_indices", JSON, nullable=False),
    Column("latency_s", Float, nullable=False),
    Column("error", Text, nullable=False),
    Column("asked", Text, nullable=False, server_default=""),  # the prompt with its placeholders filled in, if it has any
    _logits(),
)
Index(None, scores.c.clip_id, scores.c.score_id)
Index(None, scores.c.run_id, scores.c.score_id)
score_gap = func.abs(scores.c.probability - scores.c.threshold)
Index("ix_scores_gap", score_gap, scores.c.clip_id.desc(), scores.c.score_id).ddl_if(dialect="postgresql")

controls = Table(
    "controls",
    metadata,
    Column("control_id", Integer, primary_key=True),
    _run_id(),
    Column("name", Text, nullable=False),
    Column("value", JSON),
    Column("requested_at", Float, nullable=False),
    Column("status", String(20), nullable=False),
    Column("applied_step", BigInteger),
    Column("error", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index(None, controls.c.run_id, controls.c.status)

human_labels = Table(
    "human_labels",
    metadata,
    Column("label_id", Integer, primary_key=True),
    _clip_id(),
    Column("agrees", Boolean, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("label", Boolean),  # the label that was judged; NULL if unknown
    Column("annotator", Text, nullable=False, server_default=""),
)
Index(None, human_labels.c.clip_id)

clip_replay = Table(
    "clip_replay",
    metadata,
    _clip_id(primary_key=True, autoincrement=False),
    Column("step", BigInteger, nullable=False),
    Column("td_error", Float),  # mean |δ|; NULL for NaN
    Column("vlm_weight", Float),
    Column("vlm_probability", Float, nullable=False),
    Column("uniform_probability", Float, nullable=False),
)

draws = Table(
    "draws",
    metadata,
    _run_id(primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("batches", Integer, nullable=False),
    Column("drawn", BigInteger, nullable=False),
    Column("by_labels", BigInteger),  # NULL for a method that has no such part
    Column("td_error", Float),  # mean |δ|; NULL for NaN
    Column("clips", Integer, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("held_clips", Integer, nullable=False),
    *(
        Column(f"{whose}_{kind}", BigInteger, nullable=False)
        for whose in ("drawn", "held")
        for kind in ("known", "labelled", "yes", "progress")
    ),
    sqlite_with_rowid=False,
)

drawn_clips = Table(
    "drawn_clips",
    metadata,
    _run_id(primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("clip_id", BigInteger, primary_key=True),  # no foreign key: a branch draws from clips of runs that may be deleted
    Column("rank", Integer, nullable=False),
    Column("drawn", Integer, nullable=False),
    Column("by_labels", Integer, nullable=False),
    Column("td_error", Float),  # mean |δ|; NULL for NaN
    Column("held", Integer, nullable=False),
    sqlite_with_rowid=False,
)

trials = Table(
    "trials",
    metadata,
    Column("trial_id", Integer, primary_key=True),
    Column("status", String(20), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("heartbeat_at", Float),
    Column("scorer", Text, nullable=False),
    Column("prompt_id", Integer, ForeignKey("prompts.prompt_id")),
    Column("threshold", Float, nullable=False),
    Column("options", JSON, nullable=False),
    Column("run_ids", JSON, nullable=False),
    Column("clip_ids", JSON, nullable=False),
    Column("model", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("pid", Integer),
    Column("pid_started_at", Float),
    Column("pid_identity", String(80)),  # NULL in rows of earlier versions; see `liveness`
    Column("host", String(255)),
    Column("error", Text, nullable=False),
    sqlite_autoincrement=True,
)

trial_scores = Table(
    "trial_scores",
    metadata,
    Column("trial_id", Integer, ForeignKey("trials.trial_id", ondelete="CASCADE"), primary_key=True),
    _clip_id(primary_key=True, autoincrement=False),
    Column("probability", Float),
    _answers(),
    _votes(),
    Column("yes_logit", Float),
    Column("no_logit", Float),
    Column("frame_indices", JSON, nullable=False),
    Column("latency_s", Float, nullable=False),
    Column("error", Text, nullable=False),
    Column("asked", Text, nullable=False, server_default=""),
    _logits(),
    sqlite_with_rowid=False,
)
Index(None, trial_scores.c.clip_id)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Integer, primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("target_id", Integer, nullable=False),  # a run or a trial, by kind
    Column("status", String(20), nullable=False),
    Column("queued_at", Float, nullable=False),
    Column("claimed_at", Float),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("pid", Integer),
    Column("pid_started_at", Float),
    Column("pid_identity", String(80)),  # NULL in rows of earlier versions; see `liveness`
    Column("host", String(255)),
    Column("exit_code", Integer),  # NULL if the process ended without reporting
    Column("error", Text, nullable=False),
    Column("launcher", String(255), nullable=False, server_default="local"),
    Column("resources", JSON, nullable=False, server_default="{}"),  # amounts by name
    Column("handle", Text, nullable=False, server_default=""),  # only its launcher reads it
    Column("node", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False, server_default=""),  # what its launcher said last
    Column("attempt", Integer, nullable=False, server_default="0"),  # counts how often its process was lost
    Column("futile", Integer, nullable=False, server_default="0"),  # the same since the run last got further
    Column("tried_step", BigInteger),  # how far its lost processes got
    Column("heartbeat_at", Float),
    sqlite_autoincrement=True,
)
Index(None, jobs.c.status)
Index(None, jobs.c.kind, jobs.c.target_id)

job_logs = Table(
    "job_logs",
    metadata,
    Column("job_id", Integer, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("text", Text, nullable=False),  # the end of it
)

settings = Table("settings", metadata, Column("name", String(100), primary_key=True), Column("value", JSON))
