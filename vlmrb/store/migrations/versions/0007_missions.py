"""What an episode is about, what a scorer was asked with that filled in, and the logits of several answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_COLUMNS = (("clips", "mission"), ("scores", "asked"), ("trial_scores", "asked"))
_SCORES = ("scores", "trial_scores")


def upgrade() -> None:
    """Add the columns; '' or NULL where nothing is known."""
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, sa.Text(), nullable=False, server_default=""))
    for table in _SCORES:
        op.add_column(table, sa.Column("logits", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Undo the upgrade."""
    for table in _SCORES:
        op.drop_column(table, "logits")
    for table, column in _COLUMNS:
        op.drop_column(table, column)
