"""On PostgreSQL, an index for the order of clips by how near their P(yes) is to the threshold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from vlmrb.store.migrations.indexes import create_missing

revision = "0013"
down_revision = "0012"

_scores = sa.Table(
    "scores",
    sa.MetaData(),
    sa.Column("score_id", sa.BigInteger()),
    sa.Column("clip_id", sa.BigInteger()),
    sa.Column("probability", sa.Float()),
    sa.Column("threshold", sa.Float()),
)
_gap = sa.func.abs(_scores.c.probability - _scores.c.threshold)
CONCURRENTLY = (sa.Index("ix_scores_gap", _gap, _scores.c.clip_id.desc(), _scores.c.score_id),)


def upgrade() -> None:
    """Add the index, unless it has just been built beside those who write."""
    if op.get_bind().dialect.name == "postgresql":
        create_missing(op.get_bind(), CONCURRENTLY)


def downgrade() -> None:
    """Undo the upgrade."""
    op.drop_index("ix_scores_gap", "scores", if_exists=True)
