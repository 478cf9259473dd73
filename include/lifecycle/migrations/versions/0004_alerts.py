"""Alerts, the incidents that they belong to, and the messages that tell people of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add three tables; nothing that exists changes."""
    for create in (_alerts, _incidents, _messages):
        create()


def downgrade() -> None:
    """Take away what this revision added."""
    for table in ("alert_messages", "incidents", "alerts"):
        op.drop_table(table)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False)


def _text(name: str, default: str | None = None, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=nullable)


def _at(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _wall_at() -> sa.Column[object]:
    return sa.Column("wall_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _alerts() -> None:
    op.create_table(
        "alerts",
        _id(),
        *(_text(name) for name in ("model", "kind", "key", "severity")),
        _text("state", "open"),
        _text("title"),
        _text("reason"),
        _text("runbook", nullable=True),
        _text("source", ""),
        sa.Column("pending", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("count", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("level", sa.Integer(), server_default="0", nullable=False),
        sa.Column("incident_id", sa.BigInteger()),
        _at("first_seen", nullable=False),
        _at("last_seen", nullable=False),
        _at("acknowledged_at"),
        _text("acknowledged_by", nullable=True),
        _at("resolved_at"),
        _at("answered_wall_at"),
        _at("escalate_wall_at"),
        sa.Column("evidence", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        _wall_at(),
        sa.PrimaryKeyConstraint("id"),
    )
    unresolved = sa.text("state <> 'resolved'")
    op.create_index("alerts_one_open", "alerts", ["model", "key"], unique=True, postgresql_where=unresolved)
    op.create_index("alerts_by_time", "alerts", ["model", "last_seen"])
    op.create_index("alerts_pending", "alerts", ["id"], postgresql_where=sa.text("pending"))
    op.create_index("alerts_of_incident", "alerts", ["incident_id"])


def _incidents() -> None:
    op.create_table(
        "incidents",
        _id(),
        *(_text(name) for name in ("model", "source", "severity")),
        _text("state", "open"),
        _text("title"),
        _at("opened_at", nullable=False),
        _at("last_seen", nullable=False),
        _at("closed_at"),
        _text("timeline", nullable=True),
        _wall_at(),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("incidents_open", "incidents", ["model", "state"])
    op.create_index("incidents_by_source", "incidents", ["source", "last_seen"])


def _messages() -> None:
    op.create_table(
        "alert_messages",
        _id(),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        _text("channel"),
        _text("event"),
        sa.Column("level", sa.Integer(), server_default="0", nullable=False),
        _text("state", "waiting"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        _at("not_before_wall"),
        _at("sent_wall_at"),
        sa.Column("sent_as", sa.BigInteger()),
        _text("error", nullable=True),
        _wall_at(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("alert_id", "channel", "event", "level", name="alert_messages_once"),
    )
    busy = sa.text("state IN ('waiting', 'sending')")
    op.create_index("alert_messages_waiting", "alert_messages", ["channel"], postgresql_where=busy)
    op.create_index("alert_messages_sent", "alert_messages", ["channel", "sent_wall_at"])
