"""The approval of a deploy run in a real Airflow: mapped questions in its table of human answers, answered by its REST API."""

from __future__ import annotations

import os
import threading
import time

import pytest
from airflow.api_fastapi.app import cached_app, create_auth_manager, purge_cached_app
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.taskinstance import TaskInstance
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.utils.session import create_session
from fastapi.testclient import TestClient
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.rollout.states import Plan, Status
from include.lifecycle.tables import candidates, rollouts
from modelops.operators.approvals import ApproveRolloutOperator, AskApprovalOperator, ConfirmApprovalOperator
from tests.dags.own_process import own_process
from tests.unit.lifecycle.rollout.conftest import World
from tests.unit.lifecycle.rollout.test_machine import plan_of

MODEL = "flight_delay"


COMMITTEE = "risk: high\napproval: {committee: [ann, bob, cid], look: 1m}\n"


@pytest.fixture
def rules(tmp_path):
    """Write the model's settings of risk and approval."""
    overlay = tmp_path / "overlay"
    overlay.mkdir()
    return (overlay / f"{MODEL}.yaml").write_text


@pytest.fixture(autouse=True)
def installation(rt, monkeypatch, tmp_path, rules):
    """The model's risk is high, its committee ann, bob and cid."""
    rules(COMMITTEE)
    with own_process(rt, monkeypatch, MODELOPS_OVERLAY=str(tmp_path / "overlay")):
        world = World(rt, aliases={})
        for module in ("approving.approval", "driver"):
            monkeypatch.setattr(f"include.lifecycle.rollout.{module}.usual_hands", lambda rt: world.hands())
        yield


@pytest.fixture
def planned(rt):
    """A planned rollout of a first version, asked for by ada."""
    plan: Plan = plan_of(model=MODEL, champion=None, strategy="direct", requested_by=["ada"], risk="high")
    with transaction(rt.engine) as connection:
        candidate = {"model": MODEL, "version": 8, "state": "claimed", "verdict": "pass", "created_at": rt.clock.now()}
        number = connection.execute(candidates.insert().values(candidate).returning(candidates.c.id)).scalar_one()
        row = {"model": MODEL, "candidate_id": number, "version": 8, "strategy": "direct", "created_at": rt.clock.now()}
        row |= {"plan": plan.model_dump(mode="json"), "status": Status().model_dump(mode="json"), "run_id": "r"}
        made = connection.execute(rollouts.insert().values(row).returning(rollouts.c.id)).scalar_one()
    return {"rollout_id": made, "model": MODEL, "version": 8, "strategy": "direct", "reason": "r"}


def middle(planned, dag_id):
    """The approval's tasks as builders.py wires them, and one behind them."""
    with DAG(dag_id) as dag:
        ask = AskApprovalOperator(task_id="ask_approval", model=MODEL, planned=planned)
        approve = ApproveRolloutOperator.partial(
            task_id="approve",
            model=MODEL,
            planned=planned,
            map_index_template="{{ task.seat['users'] | join(', ') or 'anyone' }}",
        ).expand(seat=ask.output)
        confirm = ConfirmApprovalOperator(
            task_id="confirm_approval", model=MODEL, planned=planned, trigger_rule="none_failed_min_one_success"
        )
        ask >> confirm
        approve >> confirm >> EmptyOperator(task_id="roll_out")
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag(dag_folder=os.devnull)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    return dag


class Person:
    """Somebody who answers questions of one Dag by REST."""

    def __init__(self, rt, dag_id):
        self.rt, self.dag_id = rt, dag_id
        create_auth_manager().init()
        self.app = cached_app()

    def as_user(self, name, role="op"):
        self.app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username=name, role=role)
        return TestClient(self.app)

    def waiting(self):
        with create_session() as session:
            mine = (TaskInstance.dag_id == self.dag_id) & (TaskInstance.state == "awaiting_input")
            found = session.execute(select(TaskInstance.run_id, TaskInstance.map_index).where(mine)).all()
        return {index: run for run, index in found}

    def answer(self, seat, name, option="Approve", role="op", comment=""):
        """Wait until that seat is asked, answer, wait until it is taken up; the answer's status code."""
        deadline = time.monotonic() + 120
        while seat not in (waiting := self.waiting()):
            assert time.monotonic() < deadline, f"seat {seat} was not asked: {waiting}"
            time.sleep(0.2)
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{waiting[seat]}/taskInstances/approve/{seat}/hitlDetails"
        body = {"chosen_options": [option], "params_input": {"comment": comment}}
        before = self.noted()
        code = self.as_user(name, role).patch(path, json=body).status_code
        while code == 200 and self.noted() == before:  # the task takes it up; two at once would be taken in any order
            assert time.monotonic() < deadline, f"the answer of {name} was not taken up"
            time.sleep(0.2)
        return code

    def noted(self):
        return len(self.rt.ledger.read(MODEL, kind="approval"))


@pytest.fixture
def people(rt):
    made = []

    def build(dag_id):
        made.append(Person(rt, dag_id))
        return made[-1]

    yield build
    for one in made:
        one.app.dependency_overrides.clear()
    purge_cached_app()


def run_with(dag, answers):
    """Run the Dag here while `answers` are given in another thread; the run and what each answer came to."""
    codes = []
    giver = threading.Thread(target=lambda: codes.extend(answer() for answer in answers), daemon=True)
    giver.start()
    run = dag.test()
    giver.join(timeout=5)
    return {(one.task_id, one.map_index): str(one.state) for one in run.get_task_instances()}, codes


def test_a_quorum_by_rest_lets_it_out(rt, planned, people):
    dag = middle(planned, "deploy_yes")
    person = people(dag.dag_id)
    answers = [
        lambda: person.answer(0, "bob"),  # not his seat
        lambda: person.answer(0, "ann", role="viewer"),
        lambda: person.answer(0, "ann", comment="read it"),
        lambda: person.answer(1, "bob", "Reject"),
        lambda: person.answer(2, "cid"),
    ]
    states, codes = run_with(dag, answers)
    assert codes == [403, 403, 200, 200, 200]
    assert states[("confirm_approval", -1)] == states[("roll_out", -1)] == "success"
    votes = [(row["actor"], row["verdict"]) for row in rt.ledger.read(MODEL, kind="approval") if row["verdict"]]
    assert votes == [("cid", "pass"), ("bob", "fail"), ("ann", "pass")]


def test_two_noes_refuse_it_and_the_third_seat_is_not_needed(rt, planned, people):
    dag = middle(planned, "deploy_no")
    person = people(dag.dag_id)
    answers = [lambda: person.answer(0, "ann", "Reject"), lambda: person.answer(1, "bob", "Reject", comment="not now")]
    answers.append(lambda: person.answer(2, "cid"))
    states, codes = run_with(dag, answers)
    assert codes == [200, 200, 200]
    assert states[("confirm_approval", -1)] == states[("roll_out", -1)] == "skipped"
    with transaction(rt.engine) as connection:
        row = connection.execute(select(rollouts)).mappings().one()
    assert (row["state"], row["reason"]) == ("refused", "ann refused; bob refused: not now")


def test_the_requester_is_asked_again_and_somebody_else_approves(rt, planned, people, rules):
    rules("risk: medium\n")
    dag = middle(planned, "deploy_again")
    person = people(dag.dag_id)
    states, codes = run_with(dag, [lambda: person.answer(0, "ada"), lambda: person.answer(0, "bob")])
    assert codes == [200, 200]
    assert states[("roll_out", -1)] == "success"
    acts = [(row["actor"], row["act"]) for row in rt.ledger.read(MODEL, kind="approval")]
    assert acts[:2] == [("bob", "approve rollout"), ("ada", "disregard an answer")]


def test_what_nobody_answers_is_asked_until_it_expires(rt, planned, rules):
    rules("risk: medium\napproval: {expires: 4s, look: 1s}\n")
    dag, over = middle(planned, "deploy_late"), threading.Event()
    runner = SchedulerJobRunner(Job())

    def sweep():
        """The part of the scheduler that ends a wait."""
        while not over.wait(0.5):
            runner.check_awaiting_input_timeouts()

    sweeper = threading.Thread(target=sweep, daemon=True)
    sweeper.start()
    try:
        states, _ = run_with(dag, [])
    finally:
        over.set()
        sweeper.join(timeout=5)
    assert (states[("approve", 0)], states[("roll_out", -1)]) == ("success", "skipped")
    with transaction(rt.engine) as connection:
        assert connection.execute(select(rollouts.c.reason)).scalar_one() == "nobody answered in time"
