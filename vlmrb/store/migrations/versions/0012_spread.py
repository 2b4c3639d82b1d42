"""An index for the order of clips by how far apart their voters are: few clips have several."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from vlmrb.store.migrations.indexes import create_missing

revision = "0012"
down_revision = "0011"

_clips = sa.Table("clips", sa.MetaData(), sa.Column("clip_id", sa.BigInteger()), sa.Column("spread", sa.Float()))
_known = _clips.c.spread.is_not(None)
CONCURRENTLY = (sa.Index("ix_clips_spread", _clips.c.spread, _clips.c.clip_id, sqlite_where=_known, postgresql_where=_known),)


def upgrade() -> None:
    """Add the index, unless it has just been built beside those who write."""
    create_missing(op.get_bind(), CONCURRENTLY)


def downgrade() -> None:
    """Undo the upgrade."""
    op.drop_index("ix_clips_spread", "clips")
