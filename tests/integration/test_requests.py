"""confirm_training on real tables and a real MLflow: folding, idempotence, each refusal, and what a dead run leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from include.lifecycle.clock import FixedClock
from include.lifecycle.database import transaction
from include.lifecycle.errors import LifecycleError, SourceUnavailableError, SpecInvalidError, TrainingRefusedError
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import rollouts, signals, training_requests
from include.lifecycle.training.requests import confirm_training, finish_requests, release_stale, request_training
from tests.conftest import NOW, free_port
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
SPEC = make_spec()


@pytest.fixture
def rt(make_runtime: Callable[..., Runtime], mlflow_server: str) -> Runtime:
    return make_runtime(MODELOPS_MLFLOW_URL=mlflow_server)


def confirm(
    rt: Runtime, run_id: str = "r1", trigger: Any = "signal", conf: dict[str, Any] | None = None, **spec: Any
) -> TrainingOrder:
    run = RunContext("trips", run_id, "confirm_training")
    return confirm_training(make_spec(**spec), rt, run, trigger=trigger, conf=conf or {})


def ask(rt: Runtime, cause: dict[str, Any] | str, source: str = "signal") -> int:
    with transaction(rt.engine) as connection:
        return request_training(
            rt,
            connection,
            model="trips",
            source=source,
            reason=f"because {cause}",
            cause=cause,
            requested_by="decide",
            requested_at=NOW,
        )


def states(rt: Runtime) -> list[tuple[str, str | None]]:
    columns = (training_requests.c.state, training_requests.c.run_id)
    with transaction(rt.engine) as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(training_requests.c.id))]


def test_open_requests_fold_into_one_order_led_by_the_decay(rt: Runtime):
    first = ask(rt, "age", source="schedule")
    second = ask(rt, {"cause": "decay:calibration_gap", "effect": 0.09})
    assert ask(rt, "decay:calibration_gap") == second
    order = confirm(rt)
    assert order.request_ids == [first, second]
    assert order.source == "signal"
    assert order.cause["kind"] == "decay"
    assert order.cause["measure"] == "calibration_gap"
    assert [cause["cause"] for cause in order.cause["causes"]] == ["age", "decay:calibration_gap"]
    assert order.reason.startswith("because {'cause': 'decay")
    assert (order.window_start, order.window_end, order.as_of) == (NOW - timedelta(days=182), NOW - timedelta(days=1), NOW)
    assert order.champion is None
    assert states(rt) == [("claimed", "r1"), ("claimed", "r1")]


def test_the_same_run_gets_the_same_order_also_later(rt: Runtime, make_runtime: Callable[..., Runtime], mlflow_server: str):
    ask(rt, "age")
    order = confirm(rt)
    later = make_runtime(FixedClock(NOW + timedelta(hours=3)), MODELOPS_MLFLOW_URL=mlflow_server)
    assert confirm(later) == order
    assert len(rt.ledger.read("trips", kind="training")) == 1


def test_nothing_asked_for_is_a_refusal_on_record(rt: Runtime):
    with pytest.raises(TrainingRefusedError, match="model trips: nothing asked for"):
        confirm(rt)
    entry = rt.ledger.read("trips", kind="training")[0]
    assert entry["act"] == "refuse training"
    assert entry["run_id"] == "r1"


def test_the_same_refusal_of_the_same_requests_is_noted_once(rt: Runtime):
    ask(rt, "age")
    for run_id in ("r1", "r2"):
        with pytest.raises(TrainingRefusedError, match="spend the budget"):
            confirm(rt, run_id, retraining={"budget_per_month": 0})
    assert [entry["run_id"] for entry in rt.ledger.read("trips", kind="training")] == ["r1"]
    ask(rt, "volume")
    with pytest.raises(TrainingRefusedError):
        confirm(rt, "r3", retraining={"budget_per_month": 0})
    assert [entry["run_id"] for entry in rt.ledger.read("trips", kind="training")] == ["r3", "r1"]


def test_a_person_who_starts_a_scheduled_training_asked_for_it(rt: Runtime):
    confirm(rt, "r1", "schedule", {"requested_by": "ann", "source": "schedule", "trials": 3})
    with transaction(rt.engine) as connection:
        assert connection.execute(select(training_requests.c.requested_by)).scalar_one() == "ann"
    assert rt.ledger.read("trips", kind="training")[0]["evidence"]["requested_by"] == ["ann"]


def test_two_people_who_ask_for_the_same_are_both_known(rt: Runtime):
    ask(rt, "manual", source="manual")
    confirm(rt, "r1", "manual", {"requested_by": "bob"})
    assert rt.ledger.read("trips", kind="training")[0]["evidence"]["requested_by"] == ["decide", "bob"]


def test_schedule_and_person_ask_for_themselves(rt: Runtime):
    scheduled = confirm(rt, "r1", "schedule")
    assert (scheduled.source, scheduled.reason) == ("schedule", "the schedule asked at 2013-08-01 00:00 UTC")
    finish_requests(rt, "trips", "r1", "done", 1, "registered version 1")
    manual = confirm(rt, "r2", "manual", {"reason": "new fares", "requested_by": "ana", "trials": 3, "method": "full"})
    assert (manual.source, manual.reason, manual.method, manual.overrides) == ("manual", "new fares", "full", {"trials": 3})
    assert manual.cause["trials"] == 3
    assert states(rt) == [("done", "r1"), ("claimed", "r2")]


def test_the_same_run_id_of_another_model_is_left_alone(rt: Runtime):
    cron = "scheduled__2013-08-04T02:00:00+00:00"
    confirm(rt, cron, "schedule")
    other = make_spec(name="rides")
    confirm_training(other, rt, RunContext("rides", cron, "confirm_training"), trigger="schedule", conf={})
    assert finish_requests(rt, "rides", cron, "done", 5, "registered version 5") == 1
    assert states(rt) == [("claimed", cron), ("done", cron)]


def test_data_that_a_person_gives_waits_with_the_request(rt: Runtime):
    given = f"{rt.settings.storage}/incoming/june.csv"
    with pytest.raises(SpecInvalidError, match=r"conf of the run: data: got '/etc/june.csv'; allowed: files below .*/incoming"):
        confirm(rt, trigger="manual", conf={"data": "/etc/june.csv"})
    assert states(rt) == []
    ask(rt, {"cause": "volume:new_rows", "data": "/etc/passwd"})
    with pytest.raises(TrainingRefusedError):
        confirm(rt, trigger="manual", conf={"data": given}, retraining={"freeze": ["2013-07-31..2013-08-02"]})
    assert confirm(rt, "r2").overrides == {"data": given}


def test_wrong_conf_changes_nothing(rt: Runtime):
    with pytest.raises(SpecInvalidError, match="unknown key 'reson'; did you mean 'reason'"):
        confirm(rt, trigger="manual", conf={"reson": "x"})
    assert states(rt) == []


def test_one_training_at_a_time(rt: Runtime):
    ask(rt, "age")
    confirm(rt, "r1")
    late = ask(rt, "volume")
    with pytest.raises(TrainingRefusedError, match="run r1 is training it already"):
        confirm(rt, "r2")
    assert states(rt) == [("claimed", "r1"), ("open", None)]
    assert finish_requests(rt, "trips", "r1", "done", 4, "registered version 4") == 1
    assert finish_requests(rt, "trips", "r1", "done", 4, "registered version 4") == 0
    assert confirm(rt, "r2").request_ids == [late]


def test_two_runs_at_once_never_share_a_request(rt: Runtime):
    ask(rt, "age")
    outcomes: list[object] = []

    def one(run_id: str) -> None:
        try:
            outcomes.append(confirm(rt, run_id))
        except LifecycleError as refused:
            outcomes.append(refused)

    threads = [threading.Thread(target=one, args=(f"r{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, TrainingOrder) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, TrainingRefusedError) for outcome in outcomes) == 3


def test_an_open_rollout_refuses_even_a_forced_training(rt: Runtime):
    with transaction(rt.engine) as connection:
        connection.execute(insert(rollouts).values(model="trips", version=2, strategy="canary", state="running", created_at=NOW))
    with pytest.raises(TrainingRefusedError, match=r"rollout \d+ of version 2 is running"):
        confirm(rt, trigger="manual", conf={"force": True})
    with transaction(rt.engine) as connection:
        connection.execute(update(rollouts).values(state="promoted"))
    assert confirm(rt, trigger="manual")


def raise_signal(rt: Runtime, kind: str) -> None:
    row = {"model": "trips", "kind": kind, "cause": f"{kind}:wind", "effect": 1.0, "severity": "critical"}
    with transaction(rt.engine) as connection:
        connection.execute(insert(signals).values(row | {"first_seen": NOW, "last_seen": NOW}))


def test_a_data_fault_freezes_until_it_is_closed_or_a_person_insists(rt: Runtime):
    raise_signal(rt, "data_fault")
    ask(rt, "age")
    with pytest.raises(TrainingRefusedError, match=r"frozen by the open data_fault signal \d+ \(data_fault:wind\)"):
        confirm(rt)
    assert states(rt) == [("open", None)]
    assert confirm(rt, "r2", "manual", {"force": True})


def test_security_freezes_everybody(rt: Runtime):
    raise_signal(rt, "security")
    with pytest.raises(TrainingRefusedError, match="frozen by the open security signal"):
        confirm(rt, trigger="manual", conf={"force": True})


def test_the_budget_is_per_calendar_month_of_event_time(rt: Runtime, make_runtime: Callable[..., Runtime], mlflow_server: str):
    tight = {"retraining": {"budget_per_month": 2}}
    for number in (1, 2):
        confirm(rt, f"r{number}", "schedule", **tight)
        finish_requests(rt, "trips", f"r{number}", "done", number, "registered")
    with pytest.raises(TrainingRefusedError, match=r"2 trainings in 2013-08 spend the budget, retraining.budget_per_month is 2"):
        confirm(rt, "r3", "schedule", **tight)
    assert states(rt)[2:] == [("open", None)]  # the schedule's request waits; it is not lost
    confirm(rt, "r4", "manual", {"force": True}, **tight)
    finish_requests(rt, "trips", "r4", "done", 4, "registered")
    september = make_runtime(FixedClock(datetime(2013, 9, 1, tzinfo=UTC)), MODELOPS_MLFLOW_URL=mlflow_server)
    assert confirm(september, "r5", "schedule", **tight)


def test_upkeep_frees_what_dead_runs_left(rt: Runtime):
    ask(rt, "age")
    confirm(rt, "r1")
    assert release_stale(rt, lambda model, run_id: "alive") == []
    assert release_stale(rt, lambda model, run_id: "gone") == [1]
    assert states(rt) == [("open", None)]
    again = confirm(rt, "r1")  # the run came back: the same order, its request is taken again
    assert again.request_ids == [1]
    assert states(rt) == [("claimed", "r1")]
    release_stale(rt, lambda model, run_id: "gone")
    assert confirm(rt, "r2").request_ids == [1]
    assert release_stale(rt, lambda model, run_id: "failed") == [1]
    assert states(rt) == [("failed", "r2")]
    assert confirm(rt, "r2").request_ids == [1]  # the failed run was cleared
    assert states(rt) == [("claimed", "r2")]


def test_mlflow_or_database_down_is_told_apart_from_a_refusal(make_runtime: Callable[..., Runtime], mlflow_server: str):
    with pytest.raises(SourceUnavailableError, match=r"MLflow at .* did not answer"):
        confirm(make_runtime(MODELOPS_MLFLOW_URL=f"http://127.0.0.1:{free_port()}"), trigger="schedule")
    dead = f"postgresql+psycopg2://postgres@127.0.0.1:{free_port()}/modelops"
    with pytest.raises(SourceUnavailableError, match=r"database .* did not answer"):
        confirm(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server, MODELOPS_DATABASE_URL=dead), trigger="schedule")
