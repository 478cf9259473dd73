"""The question's task without a scheduler: what it asks and for how long, and that it goes away when nobody need answer."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput

from include.lifecycle.loading import load_model
from include.lifecycle.rollout.approving.approval import ask_approval, vote
from include.lifecycle.runtime import RunContext, runtime
from include.settings import settings
from modelops.operators.approvals import ApproveRolloutOperator
from tests.conftest import NOW
from tests.unit.lifecycle.rollout.conftest import World, open_rollout  # noqa: F401 - a fixture
from tests.unit.lifecycle.rollout.test_approval import planned_of
from tests.unit.lifecycle.rollout.test_approval_need import TAGS

RUN = RunContext("churn", "r1", "approve")


@pytest.fixture
def rt(rt, monkeypatch):
    monkeypatch.setenv("MODELOPS_DATABASE_URL", rt.settings.database_url)
    monkeypatch.setenv("MODELOPS_PASSFILE", str(rt.settings.passfile))
    settings.cache_clear()
    runtime.cache_clear()
    yield rt
    settings.cache_clear()
    runtime.cache_clear()


@pytest.fixture
def asked(rt, monkeypatch, open_rollout):  # noqa: F811
    """A question to ann, bob and cid; `asked.said` collects what Airflow was told."""
    spec, world, said = load_model("flight_delay"), World(rt), []
    settings_of = {"committee": ["ann", "bob", "cid"], "look": timedelta(minutes=7)}
    approval = spec.approval.model_copy(update=settings_of)
    spec = spec.model_copy(update={"name": "churn", "risk": "high", "approval": approval})
    number = open_rollout(requested_by=["ada"], risk="high")
    planned = planned_of(number)
    ask_approval(spec, rt, RUN, planned, hands=world.hands(), tags_of=lambda *given: TAGS)
    monkeypatch.setattr("include.lifecycle.loading.load_model", lambda name: spec)
    monkeypatch.setattr("airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **given: said.append(given))
    monkeypatch.setattr("include.lifecycle.rollout.driver.usual_hands", lambda rt: world.hands())
    return SimpleNamespace(number=number, planned=planned.model_dump(mode="json"), said=said)


def operator_of(asked, seat=1, user="ann"):
    return ApproveRolloutOperator(task_id="approve", model="churn", planned=asked.planned, seat={"number": seat, "users": [user]})


def context_of(operator):
    instance = SimpleNamespace(run_id="r1", task_id="approve", try_number=1, id="00000000-0000-0000-0000-000000000001")
    return {"ti": instance, "task_instance": instance, "task": operator}


def event(chosen, by, comment=""):
    user = {"id": by, "name": by} if by else None
    return {"chosen_options": [chosen], "params_input": {"comment": comment}, "responded_at": NOW, "responded_by_user": user}


def test_it_asks_its_user_for_one_slice(asked):
    operator = operator_of(asked)
    with pytest.raises(TaskAwaitingInput) as parked:
        operator.execute(context_of(operator))
    (said,) = asked.said
    assert (said["subject"], said["assigned_users"]) == ("Roll out version 8 of churn?", [{"id": "ann", "name": "ann"}])
    assert "2 of 3 members of the committee must approve" in said["body"]
    assert said["options"] == ["Approve", "Reject"]
    assert parked.value.timeout == timedelta(minutes=7)


def test_a_slice_without_an_answer_is_followed_by_the_next(asked):
    operator = operator_of(asked)
    with pytest.raises(TaskAwaitingInput):
        operator.execute_complete(context_of(operator), event("Reject", None))


def test_an_answer_ends_it_and_a_second_try_asks_nobody(rt, asked):
    operator = operator_of(asked)
    done = operator.execute_complete(context_of(operator), event("Approve", "ann", "read it"))
    assert done == {"seat": 1, "by": "ann", "approved": True, "comment": "read it"}
    again = operator_of(asked)
    assert again.execute(context_of(again)) == done
    assert asked.said == []


def test_it_goes_away_when_the_others_settled_it(rt, asked):
    for seat, by in ((1, "ann"), (2, "bob")):
        vote(rt, RUN, asked.number, seat, approved=True, by=by, comment="")
    operator = operator_of(asked, 3, "cid")
    assert operator.execute(context_of(operator)) == {"seat": 3, "approved": None}


def test_an_answer_that_fits_no_option_fails(asked):
    operator = operator_of(asked)
    with pytest.raises(ValueError, match="not in"):
        operator.execute_complete(context_of(operator), event("Maybe", "ann"))


def test_a_rollout_that_nobody_was_asked_about_fails(asked):
    planned = asked.planned | {"rollout_id": asked.number + 1}
    operator = ApproveRolloutOperator(task_id="approve", model="churn", planned=planned, seat={"number": 1})
    with pytest.raises(AirflowFailException, match="nobody was asked for an approval"):
        operator.execute(context_of(operator))
