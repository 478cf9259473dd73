"""One alert stands per model and key: counted, raised, resolved, and in the ledger once."""

from __future__ import annotations

from sqlalchemy import select

from include.lifecycle.alerting.raising import AlertNotice, raise_alert, resolve_alert
from include.lifecycle.database import transaction
from include.lifecycle.tables import alerts


def notice(**changes):
    told = {"model": "churn", "kind": "decay", "severity": "P2", "key": "decay:roc_auc", "title": "Skill is lost"} | {
        "reason": "5 %"
    }
    return AlertNotice.model_validate(told | changes)


def rows(rt):
    with transaction(rt.engine) as connection:
        return connection.execute(select(alerts).order_by(alerts.c.id)).mappings().all()


def raised(rt, **changes):
    with transaction(rt.engine) as connection:
        return raise_alert(connection, rt, notice(**changes), actor="test")


def test_equal_alerts_are_one_row_that_counts(rt):
    assert len({raised(rt), raised(rt), raised(rt, reason="6 %")}) == 1
    (row,) = rows(rt)
    assert (row["count"], row["reason"], row["state"], row["severity"]) == (3, "6 %", "open", "P2")
    assert [entry["act"] for entry in rt.ledger.read("churn", kind="alert")] == ["raise alert"]


def test_a_worse_one_raises_the_severity_and_a_milder_one_does_not_lower_it(rt):
    raised(rt)
    raised(rt, severity="P0", title="Skill is gone")
    raised(rt, severity="P3")
    (row,) = rows(rt)
    assert (row["severity"], row["title"], row["count"]) == ("P0", "Skill is gone", 3)


def test_a_resolved_alert_comes_back_as_a_new_one(rt):
    first = raised(rt)
    with transaction(rt.engine) as connection:
        assert resolve_alert(connection, rt, "churn", "decay:roc_auc", "healthy again", actor="test") == first
        assert resolve_alert(connection, rt, "churn", "decay:roc_auc", "healthy again", actor="test") is None
    assert raised(rt) != first
    assert [row["state"] for row in rows(rt)] == ["resolved", "open"]


def test_other_models_and_keys_stand_apart(rt):
    assert len({raised(rt), raised(rt, model="fraud"), raised(rt, key="volume")}) == 3
