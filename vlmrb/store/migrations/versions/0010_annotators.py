"""Who gave a human label."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the name; in labels of before it is empty."""
    op.add_column("human_labels", sa.Column("annotator", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """Undo the upgrade."""
    op.drop_column("human_labels", "annotator")
