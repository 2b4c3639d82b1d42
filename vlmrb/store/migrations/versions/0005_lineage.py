"""Which run a branch was made from, and where."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns of a branch to `runs`."""
    op.add_column("runs", sa.Column("parent_id", sa.Integer(), nullable=True))
    op.add_column("runs", sa.Column("parent_step", sa.BigInteger(), nullable=True))
    op.add_column("runs", sa.Column("parent_moment", sa.String(length=40), server_default="", nullable=False))
    op.add_column("runs", sa.Column("continuation_seed", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    """Undo the upgrade."""
    for column in ("parent_id", "parent_step", "parent_moment", "continuation_seed"):
        op.drop_column("runs", column)
