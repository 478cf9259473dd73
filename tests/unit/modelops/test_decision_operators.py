"""The arbiter's operators on a real database: check writes nothing, force asks for a name, questions get runs of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskAwaitingInput

from include.lifecycle.decisions.questions import answer
from include.lifecycle.runtime import RunContext, runtime
from include.lifecycle.tables import ledger, questions, signals, training_requests
from include.settings import settings
from modelops.assets import WAKE_UPS, external_requests, training_requested
from modelops.operators.decisions import AskOperator, DecideOperator, ListQuestionsOperator
from tests.conftest import NOW
from tests.integration.test_decide import open_signal, rows_of

MODEL = "flight_delay"


class Events(list):
    """The inlet's history; `after` is what Airflow's accessor offers."""

    def after(self, moment):
        return Events(one for one in self if one.timestamp >= datetime.fromisoformat(moment))


class Outlets(dict):
    def __missing__(self, key):
        self[key] = value = SimpleNamespace(woken=[])
        value.add = lambda asset: value.woken.append(asset.uri)
        return value


def context_of(events=(), by=None, **more):
    instance = SimpleNamespace(run_id="r1", task_id="decide", try_number=1, id="00000000-0000-0000-0000-000000000001")
    given = {
        "ti": instance,
        "task_instance": instance,
        "outlet_events": Outlets(),
        "inlet_events": {external_requests(): Events(events)},
    }
    return given | {"dag_run": SimpleNamespace(triggering_user_name=by)} | more


def external(number, **extra):
    return SimpleNamespace(id=number, timestamp=datetime.now(UTC) - timedelta(minutes=5), extra=extra)


@pytest.fixture
def rt(rt, monkeypatch):
    monkeypatch.setenv("MODELOPS_DATABASE_URL", rt.settings.database_url)
    monkeypatch.setenv("MODELOPS_PASSFILE", str(rt.settings.passfile))
    settings.cache_clear()
    runtime.cache_clear()
    yield rt
    settings.cache_clear()
    runtime.cache_clear()


def ready(rt, **changes):
    confirmed = {"windows_failed": 4, "evidence": {"spanning_seconds": 30 * 86400}}
    return open_signal(rt, model=MODEL, **(confirmed | changes))


def test_decide_reads_what_events_left_and_wakes_the_train_dag(rt):
    given = context_of([external(1, model=MODEL, reason="new tariff")])
    found = DecideOperator(task_id="decide").execute(given)
    assert found["training_requested"] == [MODEL]
    assert given["outlet_events"][WAKE_UPS].woken == [training_requested(MODEL).uri]
    again = DecideOperator(task_id="decide").execute(context_of([external(1, model=MODEL, reason="new tariff")]))
    assert again["training_requested"] == []
    assert len(rows_of(rt, training_requests)) == 1


@pytest.mark.parametrize("check", [True, "True"])
def test_check_tells_and_writes_nothing(rt, check):
    ready(rt)
    given = context_of([external(1, model=MODEL, reason="new tariff")])
    (answered,) = DecideOperator(task_id="decide", model=MODEL, check=check).execute(given)["checked"]
    assert (answered["model"], answered["act"]) == (MODEL, "retrain")
    assert "outlets" not in given
    assert rows_of(rt, training_requests) == rows_of(rt, ledger) == []
    assert rows_of(rt, signals)[0]["last_decision"] is None


@pytest.mark.parametrize(("model", "reason"), [("all", "now"), (MODEL, " ")])
def test_force_asks_for_one_model_and_a_reason(rt, model, reason):
    with pytest.raises(AirflowFailException, match="allowed: one model, and a reason"):
        DecideOperator(task_id="decide", model=model, force=True, reason=reason).execute(context_of(by="ann"))


def test_force_stands_under_the_persons_name(rt):
    ready(rt, windows_failed=0)
    DecideOperator(task_id="decide", model=MODEL, force="True", reason="the board").execute(context_of(by="ann"))
    assert rows_of(rt, training_requests)[0]["requested_by"] == "ann"


def ask_about(rt, monkeypatch, mode="suggest"):
    """A question about MODEL, whose YAML says this mode for the time of the test."""
    from include.lifecycle.decisions.decide import decide
    from include.lifecycle.loading import load_model

    policy = {"mode": mode, "approvers": ["ann"], "answer_within": timedelta(hours=2)}
    spec = load_model(MODEL)
    spec = spec.model_copy(update={"retraining": spec.retraining.model_copy(update=policy)})
    monkeypatch.setattr("modelops.operators.decisions.load_model", lambda name: spec)
    ready(rt)
    decide([spec], rt, RunContext("all", "r1", "decide"))
    (run,) = ListQuestionsOperator(task_id="list_questions").execute(context_of())
    return run


def test_each_question_gets_one_run_of_its_own(rt, monkeypatch):
    run = ask_about(rt, monkeypatch)
    number = rows_of(rt, questions)[0]["id"]
    assert run == {"trigger_run_id": f"question-{number}", "conf": {"question": number, "model": MODEL}}


def test_a_person_is_asked_as_the_yaml_says(rt, monkeypatch):
    run, asked = ask_about(rt, monkeypatch), {}
    monkeypatch.setattr("airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **given: asked.update(given))
    operator = AskOperator(task_id="ask", question=run["conf"]["question"])
    with pytest.raises(TaskAwaitingInput):
        operator.execute(context_of())
    assert asked["subject"] == f"Train {MODEL}?"
    assert "| decay:calibration_gap | 0.12 | 1 |" in asked["body"]
    assert (asked["assigned_users"], asked["defaults"]) == ([{"id": "ann", "name": "ann"}], ["Reject"])
    assert operator.response_timeout == timedelta(hours=2)
    assert ListQuestionsOperator(task_id="list_questions").execute(context_of()) == []


def event(chosen, by):
    user = {"id": by, "name": by} if by else None
    return {"chosen_options": [chosen], "params_input": {}, "responded_at": NOW, "responded_by_user": user}


def complete(number, chosen, by):
    operator, given = AskOperator(task_id="ask", question=number), context_of()
    given["task"] = operator
    operator.execute_complete(given, event(chosen, by))
    return given["outlet_events"][WAKE_UPS].woken


@pytest.mark.parametrize(
    ("chosen", "by", "state", "woken"),
    [
        ("Approve", "ann", "approved", [f"modelops://{MODEL}/training-requested"]),
        ("Reject", "ann", "refused", []),
        ("Reject", None, "expired", []),
    ],
)
@pytest.mark.parametrize("mode", ["suggest", "approve"])
def test_the_answer_is_recorded_and_wakes_the_train_dag(rt, monkeypatch, mode, chosen, by, state, woken):
    run = ask_about(rt, monkeypatch, mode)
    assert complete(run["conf"]["question"], chosen, by) == woken
    row = rows_of(rt, questions)[0]
    assert (row["kind"], row["state"], row["answered_by"]) == (mode, state, by)
    assert [one["state"] for one in rows_of(rt, training_requests)] == (
        ["open"] if state == "approved" else ["refused"] if mode == "approve" else []
    )


def test_nobody_is_asked_what_is_over(rt, monkeypatch):
    number = ask_about(rt, monkeypatch)["conf"]["question"]
    answer(rt, RunContext("all", "r1", "ask"), number, approved=False, by="ann")
    with pytest.raises(AirflowSkipException, match="is refused: nobody need be asked"):
        AskOperator(task_id="ask", question=number).execute(context_of())
