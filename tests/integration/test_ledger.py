"""The ledger on a real PostgreSQL: append-only, idempotent, readable as of a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from include.lifecycle.clock import FixedClock
from include.lifecycle.ledger import Entry
from include.lifecycle.migrations import upgrade
from tests.conftest import NOW


def entry(**changes) -> Entry:
    return Entry(**({"model": "m", "kind": "promotion", "act": "promote", "reason": "better", "actor": "test"} | changes))


def test_same_key_and_phase_is_one_row(rt):
    first = rt.ledger.write(entry(idempotency_key="k", phase="intended"))
    again = rt.ledger.write(entry(idempotency_key="k", phase="intended", reason="second try"))
    done = rt.ledger.write(entry(idempotency_key="k", phase="done"))
    assert first == again != done
    assert [row["phase"] for row in rt.ledger.read("m")] == ["done", "intended"]


@pytest.mark.parametrize("statement", ["UPDATE ledger SET reason = 'x'", "DELETE FROM ledger", "TRUNCATE ledger"])
def test_rows_cannot_be_changed(rt, statement):
    rt.ledger.write(entry())
    with pytest.raises(DBAPIError, match="append-only"), rt.engine.begin() as connection:
        connection.execute(text(statement))
    assert len(rt.ledger.read("m")) == 1


def test_read_as_of_a_time(make_runtime):
    early, late = make_runtime(FixedClock(NOW)), make_runtime(FixedClock(NOW + timedelta(days=2)))
    early.ledger.write(entry(version_after=1))
    late.ledger.write(entry(version_after=2))
    assert [row["version_after"] for row in late.ledger.read("m", until=NOW + timedelta(days=1))] == [1]


def test_migrations_may_run_again(rt, postgres):
    rt.ledger.write(entry())
    upgrade(str(rt.engine.url), postgres.passfile)
    assert len(rt.ledger.read("m")) == 1
