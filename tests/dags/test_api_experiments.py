"""The routes of A/B tests on a real database: those under way, all, one model's newest, and what is not there."""

from datetime import UTC, datetime

from include.lifecycle.database import transaction
from include.lifecycle.tables import rollouts
from tests.dags.test_api_deployments import airflow_database, client  # noqa: F401 - fixtures
from tests.unit.lifecycle.rollout.experiment_lab import start
from tests.unit.lifecycle.rollout.test_experiment import ab_plan


def test_experiments_are_listed_and_looked_at(rt, client):  # noqa: F811
    number = start(rt, ab_plan(), began=datetime.now(UTC))
    (one,) = client.get("/experiments").json()
    assert (one["rollout_id"], one["kind"], one["state"], one["agreed"]["split"]) == (number, "ab_test", "running", 0.5)
    assert [verdict["outcome"] for verdict in one["verdicts"]] == ["inconclusive", "inconclusive"]
    with transaction(rt.engine) as connection:
        connection.execute(rollouts.update().values(state="rolled_back"))
    assert client.get("/experiments").json() == []
    assert len(client.get("/experiments", params={"all": True}).json()) == 1
    assert client.get("/models/churn/experiment").json()["state"] == "rolled_back"
    assert client.get("/models/nobody/experiment").status_code == 404
