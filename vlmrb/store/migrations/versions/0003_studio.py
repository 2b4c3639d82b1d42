"""Tags and sets of runs; columns to filter and sort clips by; how replay treated clips; trials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PROGRESS = {("picked_up", "key"), ("unlocked", "door"), ("opened", "door"), ("goal_reached", "goal"), ("success", "")}
MAX_EVENT_NAMES = 400
BATCH = 10_000


def upgrade() -> None:
    """Add columns and tables, and fill the columns from existing rows.

    Columns are added one by one: for a batch, SQLite would create a new table, and dropping the old one would delete the
    rows that refer to it.
    """
    op.add_column("runs", sa.Column("tags", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("runs", sa.Column("set_name", sa.Text(), server_default="", nullable=False))
    op.add_column("human_labels", sa.Column("label", sa.Boolean(), nullable=True))
    op.add_column("clips", sa.Column("progress", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("clips", sa.Column("prompt_id", sa.Integer(), nullable=True))
    op.add_column("clips", sa.Column("disagreement", sa.Float(), nullable=True))
    op.add_column("clips", sa.Column("human_label", sa.Boolean(), nullable=True))
    _fill_clips()
    _index_clips()
    _make_tables()


def _fill_clips() -> None:
    connection = op.get_bind()
    _fill_progress(connection)
    for statement in (
        "UPDATE clips SET prompt_id = (SELECT s.prompt_id FROM scores s WHERE s.score_id = clips.score_id), "
        "disagreement = abs(probability - CASE WHEN progress THEN 1.0 ELSE 0.0 END) WHERE score_id IS NOT NULL",
        # the label that a person saw: that of the newest score at the time
        "UPDATE human_labels SET label = (SELECT s.label FROM scores s WHERE s.clip_id = human_labels.clip_id "
        "AND s.created_at <= human_labels.created_at ORDER BY s.score_id DESC LIMIT 1)",
        "UPDATE clips SET human_label = (SELECT CASE WHEN h.agrees THEN h.label ELSE NOT h.label END FROM human_labels h "
        "WHERE h.clip_id = clips.clip_id AND h.label IS NOT NULL ORDER BY h.label_id DESC LIMIT 1) "
        "WHERE clip_id IN (SELECT clip_id FROM human_labels)",
    ):
        connection.execute(sa.text(statement))


def _fill_progress(connection: sa.Connection) -> None:
    clips = sa.table("clips", sa.column("clip_id"), sa.column("events", sa.JSON), sa.column("event_names"), sa.column("progress"))
    page = sa.select(clips.c.clip_id, clips.c.events, clips.c.event_names).where(clips.c.event_names != "")
    page = page.order_by(clips.c.clip_id).limit(BATCH)
    change = sa.update(clips).where(clips.c.clip_id == sa.bindparam("of_clip"))
    change = change.values(progress=sa.bindparam("seen", type_=sa.Boolean), event_names=sa.bindparam("names"))
    after = -1
    while rows := connection.execute(page.where(clips.c.clip_id > after)).all():
        changed = [{"of_clip": row.clip_id, "seen": _progress(row.events), "names": _cut(row.event_names)} for row in rows]
        connection.execute(change, changed)
        after = rows[-1].clip_id


def _progress(events: list[list[object]]) -> bool:
    return any((name, thing) in PROGRESS for _, name, thing, _ in events)


def _cut(names: str) -> str:
    """As many whole names as fit."""
    return names if len(names) <= MAX_EVENT_NAMES else names[: names.rfind("|", 0, MAX_EVENT_NAMES) + 1]


def _index_clips() -> None:
    op.drop_index("ix_clips_run_id_superseded_clip_id", "clips")
    op.drop_index("ix_clips_run_id_superseded_label_clip_id", "clips")
    op.create_index(
        "ix_clips_browse",
        "clips",
        [
            "superseded",
            "clip_id",
            "run_id",
            "start_step",
            "score_id",
            "label",
            "probability",
            "progress",
            "prompt_id",
            "disagreement",
            "human_label",
            "event_names",
        ],
    )


def _make_tables() -> None:
    op.create_table(
        "clip_replay",
        sa.Column("clip_id", BigId, autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("td_error", sa.Float(), nullable=True),
        sa.Column("vlm_weight", sa.Float(), nullable=True),
        sa.Column("vlm_probability", sa.Float(), nullable=False),
        sa.Column("uniform_probability", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name=op.f("fk_clip_replay_clip_id_clips"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_clip_replay")),
    )
    op.create_table(
        "trials",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("heartbeat_at", sa.Float(), nullable=True),
        sa.Column("scorer", sa.Text(), nullable=False),
        sa.Column("prompt_id", sa.Integer(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("run_ids", sa.JSON(), nullable=False),
        sa.Column("clip_ids", sa.JSON(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("pid_started_at", sa.Float(), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["prompt_id"], ["prompts.prompt_id"], name=op.f("fk_trials_prompt_id_prompts")),
        sa.PrimaryKeyConstraint("trial_id", name=op.f("pk_trials")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "trial_scores",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("clip_id", BigId, autoincrement=False, nullable=False),
        sa.Column("probability", sa.Float(), nullable=True),
        sa.Column("yes_logit", sa.Float(), nullable=True),
        sa.Column("no_logit", sa.Float(), nullable=True),
        sa.Column("frame_indices", sa.JSON(), nullable=False),
        sa.Column("latency_s", sa.Float(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name=op.f("fk_trial_scores_clip_id_clips"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.trial_id"], name=op.f("fk_trial_scores_trial_id_trials"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", "clip_id", name=op.f("pk_trial_scores")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_trial_scores_clip_id", "trial_scores", ["clip_id"])


def downgrade() -> None:
    """Undo the upgrade."""
    for table in ("trial_scores", "trials", "clip_replay"):
        op.drop_table(table)
    op.drop_index("ix_clips_browse", "clips")
    op.create_index("ix_clips_run_id_superseded_label_clip_id", "clips", ["run_id", "superseded", "label", "clip_id"])
    op.create_index("ix_clips_run_id_superseded_clip_id", "clips", ["run_id", "superseded", "clip_id"])
    for table, columns in (
        ("clips", ("progress", "prompt_id", "disagreement", "human_label")),
        ("human_labels", ("label",)),
        ("runs", ("tags", "set_name")),
    ):
        for column in columns:
            op.drop_column(table, column)
