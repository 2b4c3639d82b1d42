"""Which process has a run, trial or job, told by what does not move when the clock is set."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TABLES = ("runs", "trials", "jobs")


def upgrade() -> None:
    """Add `pid_identity`; where it is NULL, the process is told by its creation time."""
    for table in _TABLES:
        op.add_column(table, sa.Column("pid_identity", sa.String(length=80), nullable=True))


def downgrade() -> None:
    """Undo the upgrade."""
    for table in _TABLES:
        op.drop_column(table, "pid_identity")
