"""Who started a job, where, and with what; who owns a run; the ends of logs that other machines write."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_TEXTS = ("handle", "node", "state")


def upgrade() -> None:
    """Add the columns and the table; jobs of before were started by 'local'."""
    op.add_column("runs", sa.Column("owner", sa.String(32)))
    op.add_column("jobs", sa.Column("launcher", sa.String(255), nullable=False, server_default="local"))
    op.add_column("jobs", sa.Column("resources", sa.JSON(), nullable=False, server_default="{}"))
    for name in _TEXTS:
        op.add_column("jobs", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("attempt", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("futile", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("tried_step", sa.BigInteger()))
    op.add_column("jobs", sa.Column("heartbeat_at", sa.Float()))
    op.create_table(
        "job_logs",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_logs_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_logs"),
    )


def downgrade() -> None:
    """Undo the upgrade."""
    op.drop_table("job_logs")
    for name in ("heartbeat_at", "tried_step", "futile", "attempt", *reversed(_TEXTS), "resources", "launcher"):
        op.drop_column("jobs", name)
    op.drop_column("runs", "owner")
