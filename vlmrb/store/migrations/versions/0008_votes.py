"""What each member of a vote or cascade said, and how far apart they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_TABLES = ("scores", "trial_scores")
_BROWSED = (
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
)


def upgrade() -> None:
    """Add the columns; where they are NULL, one scorer answered alone. The index of browsing covers `spread`."""
    for table in _TABLES:
        op.add_column(table, sa.Column("votes", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("clips", sa.Column("spread", sa.Float(), nullable=True))
    op.drop_index("ix_clips_browse", "clips")
    op.create_index("ix_clips_browse", "clips", [*_BROWSED, "spread", "event_names"])


def downgrade() -> None:
    """Undo the upgrade."""
    op.drop_index("ix_clips_browse", "clips")
    op.create_index("ix_clips_browse", "clips", [*_BROWSED, "event_names"])
    op.drop_column("clips", "spread")
    for table in _TABLES:
        op.drop_column(table, "votes")
