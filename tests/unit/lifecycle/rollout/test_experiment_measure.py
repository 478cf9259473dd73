"""An A/B test as it is measured: real log, real outcomes, real business query, stored row and page."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.errors import SourceQueryError
from include.lifecycle.rollout.evidence import Measurement
from include.lifecycle.rollout.experiments.exposure import read_exposure
from include.lifecycle.rollout.experiments.measure import measure_experiment, running_experiments
from include.lifecycle.rollout.judging.experiment import check_experiment, experiment_of
from include.lifecycle.rollout.states import Plan, Status
from include.lifecycle.tables import experiments, rollouts
from tests.conftest import NOW
from tests.unit.lifecycle.rollout import experiment_lab as lab
from tests.unit.lifecycle.rollout.test_experiment import ab_plan

BEGAN = datetime.now(UTC) - timedelta(days=8)


@pytest.fixture
def access(postgres):
    return lab.database(postgres)


def status_of(rt, rollout_id):
    with transaction(rt.engine) as connection:
        row = connection.execute(select(rollouts).where(rollouts.c.id == rollout_id)).mappings().one()
    return Plan.model_validate(row["plan"]), Status.model_validate(row["status"])


def history(rt, rollout_id):
    with transaction(rt.engine) as connection:
        found = connection.execute(select(experiments.c.evidence).where(experiments.c.rollout_id == rollout_id)).scalar_one()
    return found["detail"]["history"]


def test_no_running_test_measures_nothing(rt, spec, access):
    assert measure_experiment(spec, rt, access) is None
    with transaction(rt.engine) as connection:
        assert running_experiments(connection) == []


def test_a_better_challenger_is_found_and_told(rt, spec, access):
    rollout_id = lab.start(rt, ab_plan(minimum_effect=0.02), began=BEGAN)
    with transaction(rt.engine) as connection:
        assert running_experiments(connection) == ["churn"]
    rows, known = lab.traffic(NOW, users=2600, right=(0.95, 0.80))
    lab.answers(rt.storage.predictions("churn"), rows)
    first = measure_experiment(spec, rt, access)
    assert (first.samples, first.champion_samples, first.difference) == (0, 0, None)
    assert first.detail["rows_without_label"] == len(rows)
    lab.outcomes(access, known)
    found = measure_experiment(spec, rt, access)
    assert measure_experiment(spec, rt, access).model_dump(exclude={"detail"}) == found.model_dump(exclude={"detail"})
    assert (found.samples + found.champion_samples, found.detail["crossed"]) == (2600, 0)
    assert found.difference == pytest.approx(0.15, abs=0.03)
    plan, status = status_of(rt, rollout_id)
    read = experiment_of(rt, rollout_id, plan, status)
    assert check_experiment(plan, Measurement(experiment=read)).passed
    assert "history" not in read.detail
    assert [point[1] for point in history(rt, rollout_id)] == [0, 2600]  # the third measurement saw nothing new
    page = Path(read.detail["report"]).read_text()
    assert Path(read.detail["report"]) == rt.storage.reports("churn") / "experiment-run-8.html"
    for told in ("A/B test of churn: version 8 against version 7", "success", "Agreed before", "<svg", 'class="pass"'):
        assert told in page
    assert (
        experiment_of(rt, rollout_id, plan, status.model_copy(update={"cursor": status.cursor.model_copy(update={"since": 1.0})}))
        is None
    )


def test_rows_count_by_assignment_and_by_user(rt, spec):
    lab.start(rt, ab_plan(), began=BEGAN)
    at, old = NOW - timedelta(days=3), BEGAN - timedelta(hours=1)
    rows = [
        {"user": "a", "version": 8, "at": at, "key": "1", "score": 0.9},
        {"user": "a", "version": 7, "assigned": 8, "at": at, "key": "2", "score": 0.9},  # failed over: still the challenger's
        {"user": "a", "version": 8, "arm": "shadow", "assigned": 7, "at": at, "key": "3", "score": 0.9},  # nobody saw it
        {"user": "b", "version": 7, "at": at, "key": "4", "score": 0.9},
        {"user": "b", "version": 8, "at": at, "key": "5", "score": 0.9},  # met both: stays where it was first
        {"user": None, "version": 7, "at": at, "key": "6", "score": 0.9},
        {"user": "c", "version": 7, "at": at, "key": "7", "score": 0.9, "logged": old},  # before the test
        {"user": "d", "version": 5, "at": at, "key": "8", "score": 0.9},  # another version
    ]
    lab.answers(rt.storage.predictions("churn"), rows)
    found = read_exposure(ab_plan(), rt.storage.predictions("churn"), BEGAN)
    assert found.challenger.tolist() == [True, False]
    assert (found.crossed, found.rows_without_key) == (1, 1)
    assert sorted(found.keys.tolist()) == ["1", "2", "4", "5"]
    thinned = read_exposure(ab_plan(), rt.storage.predictions("churn"), BEGAN, most_rows=1)
    assert (thinned.challenger.tolist(), thinned.codes.size < 4) == ([True, False], True)


def test_an_a_a_test_compares_the_baseline_arm(rt, spec, access):
    plan = ab_plan("aa_test", metric="loss")
    plan = plan.model_copy(update={"version": 7, "stages": [plan.stages[0].model_copy(update={"percent": 0, "baseline": 50})]})
    lab.start(rt, plan, began=BEGAN)
    rows, known = lab.traffic(NOW, users=2400, right=(0.8, 0.8), versions=(7, 7), arms=("baseline", "live"))
    lab.answers(rt.storage.predictions("churn"), rows)
    lab.outcomes(access, known)
    found = measure_experiment(spec, rt, access)
    assert found.detail["metric"] == "loss"
    assert found.lower < 0 < found.upper
    seen = Measurement(experiment=found.model_copy(update={"detail": found.detail | {"elapsed_seconds": 8 * 86_400}}))
    assert check_experiment(plan, seen).passed


@pytest.fixture
def shop(make_runtime, tmp_path):
    """A runtime whose project holds the business query; `shop(text)` writes it."""

    def build(query=lab.BUSINESS_SQL):
        for place, content in (("flight_delay/labels.sql", None), ("flight_delay/revenue.sql", query)):
            target = tmp_path / "home" / "include" / "sql" / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content or Path("include/sql", place).read_text())
        return make_runtime(MODELOPS_HOME=str(tmp_path / "home"))

    return build


BUSINESS = {"query": "flight_delay/revenue.sql", "per": "sticky", "direction": "higher", "missing": "zero"}


def test_revenue_per_user_decides(shop, spec, access):
    rt, plan = shop(), ab_plan(metric="business", minimum_effect=0.5, business=BUSINESS)
    lab.start(rt, plan, began=BEGAN)
    rows, known = lab.traffic(NOW, users=2600, right=(0.8, 0.8))
    lab.answers(rt.storage.predictions("churn"), rows)
    lab.outcomes(access, known)
    bought = {row["user"]: 3.0 if row["version"] == 8 else 1.0 for row in rows}
    lab.purchases(access, [(user, euros, NOW - timedelta(days=1)) for user, euros in bought.items() if int(user[5:]) % 2])
    found = measure_experiment(spec, rt, access)
    assert [(one["name"], one["decides"]) for one in found.detail["metrics"]] == [("business", True), ("success", False)]
    assert found.samples + found.champion_samples == 2600  # half of them bought nothing, which counts
    assert found.difference == pytest.approx(1.0, abs=0.15)
    assert found.lower > 0.5


def test_values_by_the_key_of_a_prediction(shop, spec, access):
    query = "SELECT flight_id AS key, arrival_delay AS value FROM arrivals"
    plan = ab_plan(metric="business", business=BUSINESS | {"per": "key", "missing": "leave_out", "direction": "lower"})
    rt = shop(query)
    lab.start(rt, plan, began=BEGAN)
    rows, known = lab.traffic(NOW, users=300, right=(0.8, 0.8))
    lab.answers(rt.storage.predictions("churn"), rows)
    lab.outcomes(access, known[: len(known) // 2])
    found = measure_experiment(spec, rt, access)
    assert 0 < found.samples + found.champion_samples < 300
    assert 10 < found.detail["metrics"][0]["champion"]["mean"] < 20  # half of the flights are 30 minutes late


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT user_id AS key FROM purchases", "column value is missing"),
        ("SELECT 'u' AS key, 1.0 AS value UNION ALL SELECT 'u', 2.0", "key 'u' comes more than once"),
        ("SELECT user_id AS key, euros AS value FROM purchases WHERE at < :until", "binds :until"),
    ],
)
def test_a_business_query_that_cannot_be_used_is_told(shop, spec, access, query, told):
    rt = shop(query)
    lab.start(rt, ab_plan(metric="business", business=BUSINESS), began=BEGAN)
    rows, _ = lab.traffic(NOW, users=5, right=(0.8, 0.8))
    lab.answers(rt.storage.predictions("churn"), rows)
    with pytest.raises(SourceQueryError, match=told):
        measure_experiment(spec, rt, access)
