"""What is no signal, told by whoever does it: questions, changes by hand, failed drills, a silent watchdog; and when it ends."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from include.lifecycle.database import transaction
from include.lifecycle.decisions.decide import decide
from include.lifecycle.decisions.questions import answer, unasked
from include.lifecycle.rollout.drills.drill import _note
from include.lifecycle.rollout.drills.report import DrillReport
from include.lifecycle.rollout.reconcile import reconcile
from include.lifecycle.rollout.watchdog.health import GAUGES, Health, write_gauges
from include.lifecycle.rollout.watchdog.to_ledger import silence
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import alerts, questions, signals
from tests.integration.test_decide import open_signal
from tests.unit.lifecycle.monitoring.examples import MODEL, make_spec
from tests.unit.lifecycle.rollout.conftest import world  # noqa: F401

DECIDE = RunContext(model="all", run_id="decide-1", task="decide")
ASKING = RunContext(model="all", run_id="ask-1", task="ask")
DRILL = RunContext("drill", "run-1", "run_drill")
SUGGEST = make_spec(retraining={"mode": "suggest", "schedule": "none"})


def standing(rt, kind):
    """Alerts of one kind that stand, by key."""
    with transaction(rt.engine) as connection:
        query = select(alerts).where(alerts.c.state != "resolved", alerts.c.kind == kind)
        return {row["key"]: row for row in connection.execute(query).mappings()}


def asked(rt):
    """Let a question be asked; its number."""
    open_signal(rt)
    for _ in range(2):  # asked once, told once
        decide([SUGGEST], rt, DECIDE)
    (question,) = unasked(rt)
    return question.id


@pytest.mark.parametrize(("approved", "by"), [(True, "ann"), (False, "ann"), (False, None)])
def test_a_question_is_an_alert_until_it_is_answered(rt, approved, by):
    number = asked(rt)
    ((key, alert),) = standing(rt, "question").items()
    assert (key, alert["model"], alert["count"], alert["source"]) == (f"question:{number}", MODEL, 1, f"{MODEL}/training")
    assert alert["reason"].startswith("Shall it be trained?")
    assert alert["runbook"] == "a-training-did-not-start"
    answer(rt, ASKING, number, approved=approved, by=by)
    assert standing(rt, "question") == {}


def test_a_question_that_is_withdrawn_or_overdue_is_no_alert_any_more(rt):
    asked(rt)
    with transaction(rt.engine) as connection:
        connection.execute(update(signals).values(state="resolved"))
    decide([SUGGEST], rt, DECIDE)
    assert standing(rt, "question") == {}
    asked(rt)
    assert len(standing(rt, "question")) == 1
    with transaction(rt.engine) as connection:
        connection.execute(update(questions).values(wall_at=datetime.now(UTC) - timedelta(days=60)))
    decide([SUGGEST], rt, DECIDE)
    assert standing(rt, "question") == {}


def test_weights_that_were_changed_by_hand_are_an_alert_until_the_gateway_follows_again(rt, world):  # noqa: F811
    world.weights = {7: 60, 9: 40}
    reconcile(rt, ["churn"], hands=world.hands())
    ((key, alert),) = standing(rt, "foreign_change").items()
    assert (key, alert["model"], alert["runbook"]) == (
        "foreign_change:weights",
        "churn",
        "the-ledger-shows-foreign_change",
    )
    assert alert["reason"] == "gateway has weights {7: 60, 9: 40}, the row says {7: 100}"
    reconcile(rt, ["churn"], hands=world.hands())
    assert standing(rt, "foreign_change") == {}


def test_an_alias_that_was_moved_by_hand_is_an_alert_until_it_is_back(rt, world):  # noqa: F811
    moved = {"champion": {"expected": 7, "found": 9}}
    hands = replace(world.hands(), foreign_aliases=lambda rt, model: moved)
    for _ in range(2):
        reconcile(rt, ["churn"], hands=hands)
    (alert,) = standing(rt, "foreign_change").values()
    assert (alert["key"], alert["reason"]) == ("foreign_change:alias", "alias champion is at version 9, we left it at 7")
    reconcile(rt, ["churn"], hands=world.hands())
    assert standing(rt, "foreign_change") == {}


def test_a_drill_that_failed_is_an_alert_until_one_does_not(rt):
    figures = {"detection": 60.0, "decision": 0.03, "traffic": 0.05, "recovery": 61.0, "requests": 449, "failed": 300}
    report = DrillReport(model="_drill_x", at=datetime.now(UTC), reason="too slow", verdict="fail", **figures)
    for _ in range(2):
        _note(rt, DRILL, report)
    (alert,) = standing(rt, "drill_failed").values()
    assert (alert["model"], alert["reason"], alert["count"], alert["runbook"]) == ("platform", "too slow", 2, "the-drill-failed")
    _note(rt, DRILL, report.model_copy(update={"verdict": "pass"}))
    assert standing(rt, "drill_failed") == {}


def test_a_watchdog_that_looks_no_more_is_an_alert_until_it_looks(rt):
    directory = rt.settings.gateway_dir
    write_gauges(directory, Health(), [], {}, [], time.time())
    os.utime(directory / GAUGES, (1000, time.time() - 90))
    for _ in range(2):
        list(silence(rt))
    (alert,) = standing(rt, "watchdog_silent").values()
    assert (alert["key"], alert["model"]) == ("watchdog_silent:look", "platform")
    assert "has not looked for 90 s" in alert["reason"]
    write_gauges(directory, Health(), [], {}, [], time.time())
    list(silence(rt))
    assert standing(rt, "watchdog_silent") == {}
