"""What replay drew before some steps of a run, counted by clip."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the tables; runs of before have no such records."""
    op.create_table(
        "draws",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("drawn", sa.BigInteger(), nullable=False),
        sa.Column("by_labels", sa.BigInteger(), nullable=True),
        sa.Column("td_error", sa.Float(), nullable=True),
        sa.Column("clips", sa.Integer(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("held_clips", sa.Integer(), nullable=False),
        sa.Column("drawn_known", sa.BigInteger(), nullable=False),
        sa.Column("drawn_labelled", sa.BigInteger(), nullable=False),
        sa.Column("drawn_yes", sa.BigInteger(), nullable=False),
        sa.Column("drawn_progress", sa.BigInteger(), nullable=False),
        sa.Column("held_known", sa.BigInteger(), nullable=False),
        sa.Column("held_labelled", sa.BigInteger(), nullable=False),
        sa.Column("held_yes", sa.BigInteger(), nullable=False),
        sa.Column("held_progress", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_draws_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_draws")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "drawn_clips",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("clip_id", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("drawn", sa.Integer(), nullable=False),
        sa.Column("by_labels", sa.Integer(), nullable=False),
        sa.Column("td_error", sa.Float(), nullable=True),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name=op.f("fk_drawn_clips_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "step", "clip_id", name=op.f("pk_drawn_clips")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Undo the upgrade."""
    op.drop_table("drawn_clips")
    op.drop_table("draws")
