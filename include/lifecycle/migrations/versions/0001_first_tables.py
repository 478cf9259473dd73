"""The first tables: ledger, signals, training requests, candidates, rollouts, desired traffic, windows.

Written out, not taken from tables.py: what a migration makes must not change with the code. A test compares both.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = """
CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the ledger is append-only: % refused', TG_OP; END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
"""


def upgrade() -> None:
    """Create every table and make the ledger refuse changes."""
    for create in (_ledger, _signals, _training_requests, _candidates, _rollouts, _desired_traffic, _windows):
        create()
    op.execute(_APPEND_ONLY)


def downgrade() -> None:
    """There is nothing before the first tables; the ledger is never dropped by a migration."""
    raise NotImplementedError("the ledger is append-only: drop the database instead")


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False)


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False)


def _wall_at() -> sa.Column[object]:
    return sa.Column("wall_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _ledger() -> None:
    op.create_table(
        "ledger",
        _id(),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _wall_at(),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text()),
        sa.Column("version_before", sa.Integer()),
        sa.Column("version_after", sa.Integer()),
        sa.Column("snapshot_id", sa.Text()),
        sa.Column("spec_hash", sa.Text()),
        sa.Column("run_id", sa.Text()),
        sa.Column("idempotency_key", sa.Text()),
        _json("evidence"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency_key", "phase", name="ledger_once_per_phase"),
    )
    op.create_index("ledger_by_model", "ledger", ["model", "at"], unique=False)


def _signals() -> None:
    op.create_table(
        "signals",
        _id(),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("effect", sa.Float(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer()),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("windows_failed", sa.Integer(), server_default="1", nullable=False),
        sa.Column("last_decision", sa.Text()),
        sa.Column("training_request_id", sa.BigInteger()),
        _json("evidence"),
        _wall_at(),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "signals_one_open", "signals", ["model", "kind", "cause"], unique=True, postgresql_where=sa.text("state = 'open'")
    )


def _training_requests() -> None:
    op.create_table(
        "training_requests",
        _id(),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("version", sa.Integer()),
        sa.Column("outcome", sa.Text()),
        _json("cause"),
        _wall_at(),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("training_requests_by_model", "training_requests", ["model", "state"], unique=False)


def _candidates() -> None:
    op.create_table(
        "candidates",
        _id(),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text()),
        _json("evidence"),
        _wall_at(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model", "version", name="candidates_once"),
    )


def _rollouts() -> None:
    op.create_table(
        "rollouts",
        _id(),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("candidate_id", sa.BigInteger()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("champion", sa.Integer()),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="planned", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        _json("plan"),
        _json("status"),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_holder", sa.Text()),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("run_id", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        _wall_at(),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "rollouts_one_open",
        "rollouts",
        ["model"],
        unique=True,
        postgresql_where=sa.text("state IN ('planned', 'running', 'baking')"),
    )


def _desired_traffic() -> None:
    op.create_table(
        "desired_traffic",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        _json("weights"),
        _json("servers"),
        sa.Column("champion", sa.Integer()),
        sa.Column("applied_revision", sa.BigInteger()),
        sa.Column("applied_wall_at", sa.DateTime(timezone=True)),
        _wall_at(),
        sa.PrimaryKeyConstraint("model"),
    )


def _windows() -> None:
    op.create_table(
        "windows",
        _id(),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("mature_rows", sa.BigInteger(), nullable=False),
        sa.Column("health", sa.Float()),
        _json("health_parts"),
        _json("measurements"),
        sa.Column("verdicts", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("report", sa.Text()),
        _wall_at(),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model", "version", "window_start", "window_end", "revision", name="windows_once"),
    )
