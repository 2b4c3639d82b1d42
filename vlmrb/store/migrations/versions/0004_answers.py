"""The answers to a set of questions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = ("scores", "trial_scores")


def upgrade() -> None:
    """Add the column; rows without answers have one, their probability."""
    for table in TABLES:
        op.add_column(table, sa.Column("answers", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    """Undo the upgrade."""
    for table in TABLES:
        op.drop_column(table, "answers")
