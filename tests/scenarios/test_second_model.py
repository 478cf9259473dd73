"""The second model is YAML and SQL alone: its training is green when a person starts it, its rollout waits for another one."""

from __future__ import annotations

from urllib.parse import quote

from include.demo.airflow_client import ENDED, AirflowClient
from include.demo.data import load_data, production_url
from include.demo.episodes import Episode
from include.demo.facts import RegistryFacts, TableFacts
from include.lifecycle.runtime import build_runtime
from tests.scenarios.conftest import Scenario
from tests.scenarios.waiting import until

MODEL = "health_visits"
TRAIN, DEPLOY = f"train__{MODEL}", f"deploy__{MODEL}"


def train(airflow: AirflowClient, run_id: str) -> None:
    airflow.trigger(TRAIN, run_id, {"reason": "the panel was corrected"})
    state = until(lambda: (found := airflow.state(TRAIN, run_id)) in ENDED and found, 300, f"the end of {run_id}")
    assert state == "success", airflow.failure(TRAIN, run_id)


def waiting_run(airflow: AirflowClient, known: set[str]) -> str:
    """The deploy run that is not known yet, once its approval waits for a person."""

    def ask() -> str | None:
        for run in airflow.runs(DEPLOY):
            run_id = run["dag_run_id"]
            if run_id in known:
                continue
            states = {task.task: task.state for task in airflow.tasks(DEPLOY, run_id)}
            assert "failed" not in states.values(), airflow.failure(DEPLOY, run_id)
            if states.get("approve") == "awaiting_input":
                assert states["roll_out"] == "none"
                return run_id
        return None

    return until(ask, 120, "an approval that waits")


def answer(scenario: Scenario, user: str, run_id: str) -> int:
    path = f"/api/v2/dags/{DEPLOY}/dagRuns/{quote(run_id, safe='')}/taskInstances/approve/0/hitlDetails"
    with scenario.stack.airflow(user) as http:
        return http.patch(path, json={"chosen_options": ["Approve"], "params_input": {"comment": "read the plan"}}).status_code


def rollout_state(facts: TableFacts) -> str | None:
    row = facts.rollout_of(1)
    return None if row is None else row["state"]


def test_a_person_but_not_the_requester_lets_it_out(scenario: Scenario):
    stack = scenario.stack
    stack.up()
    rt = build_runtime(stack.settings)
    load_data(production_url(stack.settings), stack.settings.passfile, Episode(1))
    registry, facts = RegistryFacts(stack.settings.mlflow_url, MODEL), TableFacts(rt.engine, MODEL)

    def acts() -> list[tuple[str, str]]:
        return [(row["actor"], row["act"]) for row in rt.ledger.read(MODEL, kind="approval")]

    with stack.airflow("ann") as http:
        airflow = AirflowClient(http)
        airflow.unpause_all()
        train(airflow, "asked_by_ann")
        run_id = waiting_run(airflow, set())
        assert registry.alias("champion") is None
        assert answer(scenario, "vic", run_id) == 403
        assert answer(scenario, "ann", run_id) == 200
        until(lambda: ("ann", "disregard an answer") in acts(), 120, "the requester's yes, which does not count")
        assert registry.alias("champion") is None
        until(lambda: answer(scenario, "bob", run_id) == 200, 120, "the same question, asked again")
        until(lambda: rollout_state(facts) == "baking", 120, "the provisional promotion")
        assert airflow.state(DEPLOY, run_id) == "running"  # its bake is a day of wall time
    assert registry.alias("champion") == 1
    assert acts()[0] == ("bob", "approve rollout")
