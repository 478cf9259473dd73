"""Modes suggest and approve on a real PostgreSQL: who is asked what, what an answer does, and which questions are withdrawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from include.lifecycle.clock import FixedClock
from include.lifecycle.decisions.decide import Forced, decide
from include.lifecycle.decisions.questions import answer, read_question, unasked
from include.lifecycle.decisions.sweep import unclaimed
from include.lifecycle.errors import GateFailedError
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import ledger, questions, signals, training_requests
from include.lifecycle.training.requests import confirm_training, finish_requests
from tests.conftest import NOW
from tests.integration.test_decide import add, open_signal, rows_of, set_state
from tests.unit.lifecycle.monitoring.examples import MODEL, make_spec

pytestmark = pytest.mark.integration
RUN = RunContext(model="all", run_id="decide-1", task="decide")
ASK = RunContext(model="all", run_id="question-1", task="ask")
DAY = timedelta(days=1)
SUGGEST, APPROVE = (make_spec(retraining={"mode": mode, "schedule": "none"}) for mode in ("suggest", "approve"))


def states(rt, table):
    return [row["state"] for row in rows_of(rt, table)]


def grown(rt, effect):
    with rt.engine.begin() as connection:
        connection.execute(update(signals).where(signals.c.state == "open").values(effect=effect))


def test_suggest_requests_nothing_before_the_answer(rt):
    number = open_signal(rt)
    assert decide([SUGGEST], rt, RUN).training_requested == []
    assert decide([SUGGEST], rt, RUN).ledger_ids == []
    assert (rows_of(rt, training_requests), states(rt, signals)) == ([], ["open"])
    (question,) = unasked(rt)
    assert (question.kind, question.model) == ("suggest", MODEL)
    assert question.causes["decay:calibration_gap"]["signal"] == number
    assert read_question(rt, question.id, "question-1").state == "open"
    assert unasked(rt) == []
    taken = answer(rt, ASK, question.id, approved=True, by="ann", comment="go")
    assert taken.state == "approved"
    (request,) = rows_of(rt, training_requests)
    assert (request["id"], request["state"], request["source"]) == (taken.training_request_id, "open", "signal")
    assert (request["cause"]["approved_by"], request["cause"]["measure"]) == ("ann", "calibration_gap")
    assert states(rt, signals) == ["accepted"]
    entry = rows_of(rt, ledger)[-1]
    assert (entry["kind"], entry["act"], entry["actor"], entry["reason"]) == (
        "approval",
        "approved training (suggest)",
        "ann",
        "ann said yes: go",
    )


@pytest.mark.parametrize(("by", "state"), [("bob", "refused"), (None, "expired")])
def test_a_no_keeps_the_cause_from_asking_until_it_has_grown(rt, by, state):
    open_signal(rt)
    decide([SUGGEST], rt, RUN)
    assert answer(rt, ASK, unasked(rt)[0].id, approved=False, by=by).state == state
    assert rows_of(rt, ledger)[-1]["reason"] == f"{by or 'nobody in time'} said no"
    decide([SUGGEST], rt, RUN)
    assert (unasked(rt), rows_of(rt, signals)[0]["last_decision"]) == ([], "refuse:declined")
    grown(rt, 0.17)
    decide([SUGGEST], rt, RUN)
    assert unasked(rt) == []
    grown(rt, 0.19)
    decide([SUGGEST], rt, RUN)
    assert len(unasked(rt)) == 1


@pytest.mark.parametrize("cause", ["volume:new_rows", "external:request"])
def test_a_no_to_new_rows_or_an_event_holds_for_that_signal_only(rt, cause):
    open_signal(rt, cause, version=None, effect=1.0)
    decide([SUGGEST], rt, RUN)
    answer(rt, ASK, unasked(rt)[0].id, approved=False, by="bob")
    decide([SUGGEST], rt, RUN)
    assert (unasked(rt), rows_of(rt, signals)[0]["last_decision"]) == ([], "refuse:declined")
    set_state(rt, signals, state="resolved")
    later = open_signal(rt, cause, version=None, effect=1.0)
    decide([SUGGEST], rt, RUN)
    assert [question.causes[cause]["signal"] for question in unasked(rt)] == [later]


def test_an_answer_counts_once(rt):
    open_signal(rt)
    decide([SUGGEST], rt, RUN)
    number = unasked(rt)[0].id
    first = answer(rt, ASK, number, approved=True, by="ann")
    again = answer(rt, ASK, number, approved=True, by="ann")
    late = answer(rt, ASK, number, approved=False, by="bob")
    assert (again.training_request_id, late.state) == (first.training_request_id, "approved")
    assert len(rows_of(rt, training_requests)) == 1
    assert len([row for row in rows_of(rt, ledger) if row["kind"] == "approval"]) == 2  # asked, answered
    with pytest.raises(GateFailedError, match="there is no question 99"):
        answer(rt, ASK, 99, approved=True, by="ann")


def test_a_question_whose_signal_is_over_is_withdrawn(rt):
    open_signal(rt)
    decide([SUGGEST], rt, RUN)
    set_state(rt, signals, state="resolved")
    decide([SUGGEST], rt, RUN)
    assert states(rt, questions) == ["withdrawn"]
    assert answer(rt, ASK, rows_of(rt, questions)[0]["id"], approved=True, by="ann").training_request_id is None
    assert rows_of(rt, training_requests) == []


def test_a_yes_to_what_is_over_trains_nothing(rt):
    open_signal(rt)
    decide([SUGGEST], rt, RUN)
    set_state(rt, signals, state="resolved")
    taken = answer(rt, ASK, unasked(rt)[0].id, approved=True, by="ann")
    assert (taken.state, taken.training_request_id, rows_of(rt, training_requests)) == ("withdrawn", None, [])


def test_two_fruitless_trainings_ask_in_mode_auto_and_force_withdraws_it(rt):
    for version in (2, 3):
        common = {"source": "signal", "reason": "r", "state": "done", "requested_by": "decide"}
        add(rt, training_requests, version=version, requested_at=NOW - 90 * DAY, **common)
    spec = make_spec(retraining={"schedule": "none"})
    open_signal(rt)
    assert decide([spec], rt, RUN).training_requested == []
    assert "2 trainings in a row promoted nothing" in unasked(rt)[0].reason
    assert decide([spec], rt, RUN, forced=Forced("ann", "now")).training_requested == [MODEL]
    assert states(rt, questions) == ["withdrawn"]


def test_approve_requests_at_once_and_waits_for_the_start(rt, make_runtime):
    open_signal(rt)
    assert decide([APPROVE], rt, RUN).training_requested == []
    assert (states(rt, training_requests), states(rt, signals)) == (["awaiting"], ["accepted"])
    assert unclaimed(rt).training == []
    open_signal(rt, "decay:roc_auc")
    decide([APPROVE], rt, RUN)
    assert rows_of(rt, signals)[-1]["last_decision"].startswith("refuse:open_request")
    taken = answer(rt, ASK, unasked(rt)[0].id, approved=True, by="ann")
    assert (taken.state, states(rt, training_requests)) == ("approved", ["open"])
    assert unclaimed(rt).training == [MODEL]


def test_a_refused_start_spends_the_cause(rt, make_runtime):
    open_signal(rt)
    decide([APPROVE], rt, RUN)
    answer(rt, ASK, unasked(rt)[0].id, approved=False, by="bob", comment="holiday")
    (request,) = rows_of(rt, training_requests)
    assert (request["state"], request["outcome"]) == ("refused", "bob said no: holiday")
    open_signal(rt, effect=0.15)
    later = make_runtime(FixedClock(NOW + 30 * DAY))
    decide([APPROVE], later, RUN)
    assert rows_of(rt, signals)[-1]["last_decision"] == "refuse:spent"
    grown(rt, 0.19)
    decide([APPROVE], later, RUN)
    assert len(unasked(rt)) == 1


def test_a_training_that_starts_anyway_takes_the_awaiting_request_along(make_runtime, mlflow_server):
    rt = make_runtime(MODELOPS_MLFLOW_URL=mlflow_server)
    open_signal(rt)
    decide([APPROVE], rt, RUN)
    run = RunContext(MODEL, "manual-1", "confirm_training")
    order = confirm_training(APPROVE, rt, run, trigger="manual", conf={"reason": "we need it", "requested_by": "ann"})
    assert order.cause["cause"] == "decay:calibration_gap"
    assert states(rt, training_requests) == ["claimed", "claimed"]
    decide([APPROVE], rt, RUN)
    assert states(rt, questions) == ["withdrawn"]
    finish_requests(rt, MODEL, "manual-1", "done", 2, "registered")
    assert states(rt, training_requests) == ["done", "done"]


def test_several_models_are_asked_about_apart(rt):
    other = SUGGEST.model_copy(update={"name": "other"})
    open_signal(rt)
    open_signal(rt, model="other")
    decide([SUGGEST, other], rt, RUN)
    assert [question.model for question in unasked(rt)] == [MODEL, "other"]


@pytest.mark.parametrize(("spec", "kind", "decided"), [(SUGGEST, "suggest", "refuse:declined"), (APPROVE, "approve", "approve")])
def test_a_question_whose_asking_run_died_is_declined_in_the_end(rt, spec, kind, decided):
    open_signal(rt)
    decide([spec], rt, RUN)
    read_question(rt, unasked(rt)[0].id, "question-1")
    decide([spec], rt, RUN)
    assert states(rt, questions) == ["open"]
    long_ago = datetime.now(UTC) - spec.retraining.answer_within - timedelta(hours=2)
    set_state(rt, questions, wall_at=long_ago)
    decide([spec], rt, RUN)
    assert (states(rt, questions), rows_of(rt, signals)[0]["last_decision"]) == (["expired"], decided)
    assert [row["state"] for row in rows_of(rt, training_requests)] == (["refused"] if kind == "approve" else [])
    assert "nobody in time said no" in [row["reason"] for row in rows_of(rt, ledger)]
