"""The first tables: ledger, signals, training requests, candidates, rollouts, desired traffic, windows."""

from __future__ import annotations

from alembic import op

from include.lifecycle.tables import metadata

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
    metadata.create_all(op.get_bind())
    op.execute(_APPEND_ONLY)


def downgrade() -> None:
    """There is nothing before the first tables; the ledger is never dropped by a migration."""
    raise NotImplementedError("the ledger is append-only: drop the database instead")
