"""What an episode is about, and what a scorer was asked with that filled in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_COLUMNS = (("clips", "mission"), ("scores", "asked"), ("trial_scores", "asked"))


def upgrade() -> None:
    """Add the columns; '' where nothing is known."""
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """Undo the upgrade."""
    for table, column in _COLUMNS:
        op.drop_column(table, column)
