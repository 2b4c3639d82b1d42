"""On PostgreSQL, indexes for the orders of clips by P(yes), by disagreement, and by how near P(yes) is to the threshold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from vlmrb.store.migrations.indexes import create_missing

revision = "0013"
down_revision = "0012"

_metadata = sa.MetaData()
_clips = sa.Table(
    "clips",
    _metadata,
    sa.Column("clip_id", sa.BigInteger()),
    sa.Column("superseded", sa.Boolean()),
    sa.Column("probability", sa.Float()),
    sa.Column("disagreement", sa.Float()),
)
_scores = sa.Table(
    "scores",
    _metadata,
    sa.Column("score_id", sa.BigInteger()),
    sa.Column("clip_id", sa.BigInteger()),
    sa.Column("probability", sa.Float()),
    sa.Column("threshold", sa.Float()),
)
_shown = sa.and_(_clips.c.superseded.is_(False), _clips.c.probability.is_not(None))
_gap = sa.func.abs(_scores.c.probability - _scores.c.threshold)
CONCURRENTLY = (
    sa.Index("ix_clips_probability", _clips.c.probability, _clips.c.clip_id, postgresql_where=_shown),
    sa.Index("ix_clips_disagreement", _clips.c.disagreement, _clips.c.clip_id, postgresql_where=_shown),
    sa.Index("ix_scores_gap", _gap, _scores.c.clip_id.desc(), _scores.c.score_id),
)


def upgrade() -> None:
    """Add the indexes, unless they have just been built beside those who write."""
    if op.get_bind().dialect.name == "postgresql":
        create_missing(op.get_bind(), CONCURRENTLY)


def downgrade() -> None:
    """Undo the upgrade."""
    for name, table in (("ix_clips_probability", "clips"), ("ix_clips_disagreement", "clips"), ("ix_scores_gap", "scores")):
        op.drop_index(name, table, if_exists=True)
