"""A person's command to a rollout, the kill switch, and what the gateway does beside splitting: baseline, mirror, sticky keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TRAFFIC = ("baseline", "mirror")


def upgrade() -> None:
    """Add columns that may be empty, and two tables; nothing that exists changes."""
    op.add_column("rollouts", sa.Column("command", JSONB()))
    for name in _TRAFFIC:
        op.add_column("desired_traffic", sa.Column(name, JSONB()))
    op.add_column("desired_traffic", sa.Column("sticky", sa.Text()))
    op.create_table(
        "freezes",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("wall_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("model"),
    )
    op.create_table(
        "experiments",
        sa.Column("rollout_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evidence", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("wall_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("rollout_id"),
    )


def downgrade() -> None:
    """Take away what this revision added."""
    op.drop_table("experiments")
    op.drop_table("freezes")
    for name in (*_TRAFFIC, "sticky"):
        op.drop_column("desired_traffic", name)
    op.drop_column("rollouts", "command")
