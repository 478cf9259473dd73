"""Questions to people, the switch of unattended training, deliveries of other systems, and until when a request waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add three tables and one column; nothing that exists changes."""
    op.add_column("training_requests", sa.Column("not_before", sa.DateTime(timezone=True)))
    for create in (_questions, _automation, _deliveries):
        create()


def downgrade() -> None:
    """Take away what this revision added."""
    for table in ("deliveries", "automation", "questions"):
        op.drop_table(table)
    op.drop_column("training_requests", "not_before")


def _wall_at() -> sa.Column[object]:
    return sa.Column("wall_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _questions() -> None:
    op.create_table(
        "questions",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("causes", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("training_request_id", sa.BigInteger()),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
        sa.Column("answered_by", sa.Text()),
        sa.Column("comment", sa.Text()),
        sa.Column("run_id", sa.Text()),
        _wall_at(),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("questions_one_open", "questions", ["model"], unique=True, postgresql_where=sa.text("state = 'open'"))


def _automation() -> None:
    op.create_table(
        "automation",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _wall_at(),
        sa.PrimaryKeyConstraint("model"),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        _wall_at(),
        sa.PrimaryKeyConstraint("source", "delivery_id"),
    )
    op.create_index("deliveries_by_time", "deliveries", ["source", "sent_at"])
