"""Requests that may not start yet: they wait as rows, say until when, and are taken up; what a person says is kept with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from include.lifecycle.clock import FixedClock
from include.lifecycle.database import transaction
from include.lifecycle.decisions.automation import set_automation
from include.lifecycle.decisions.sweep import unclaimed
from include.lifecycle.errors import SpecInvalidError, TrainingRefusedError
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import training_requests
from include.lifecycle.training.conf import REASON_KINDS
from include.lifecycle.training.requests import SLOT, confirm_training, finish_requests, request_training
from tests.integration.test_requests import ask
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
NOON = datetime(2013, 8, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def at(make_runtime: Callable[..., Runtime], mlflow_server: str) -> Callable[[datetime], Runtime]:
    return lambda moment: make_runtime(FixedClock(moment), MODELOPS_MLFLOW_URL=mlflow_server)


def confirm(rt: Runtime, run_id: str, trigger: Any, conf: dict[str, Any] | None = None, **retraining: Any) -> TrainingOrder:
    run = RunContext("trips", run_id, "confirm_training")
    return confirm_training(make_spec(retraining=retraining), rt, run, trigger=trigger, conf=conf or {})


def requests(rt: Runtime) -> list[Any]:
    with transaction(rt.engine) as connection:
        return list(connection.execute(select(training_requests).order_by(training_requests.c.id)).mappings())


def test_signals_wait_for_the_daily_window_and_say_until_when(at):
    rt = at(NOON)
    ask(rt, "decay:calibration_gap")
    with pytest.raises(TrainingRefusedError, match="waits for the daily window 02:00-04:00, until 2013-08-02 02:00 UTC"):
        confirm(rt, "r1", "signal", window="02:00-04:00")
    assert requests(rt)[0]["not_before"] == NOON + HOUR
    assert unclaimed(rt).training == []
    assert unclaimed(at(NOON + HOUR)).training == ["trips"]
    entry = rt.ledger.read("trips", kind="training")[0]
    assert entry["evidence"]["until"] == "2013-08-02T02:00:00+00:00"
    order = confirm(at(NOON + 14 * HOUR), "r2", "signal", window="02:00-04:00")
    assert order.request_ids == [1]
    assert requests(rt)[0]["not_before"] is None


@pytest.mark.parametrize("trigger", ["schedule", "manual"])
def test_schedule_and_people_need_no_daily_window(at, trigger):
    assert confirm(at(NOON), "r1", trigger, window="02:00-04:00")


@pytest.mark.parametrize("trigger", ["signal", "schedule", "manual"])
def test_a_freeze_holds_for_everybody_and_the_request_waits(at, trigger):
    rt = at(NOON)
    if trigger == "signal":
        ask(rt, "decay:calibration_gap")
    with pytest.raises(
        TrainingRefusedError, match=r"frozen by 2013-07-30..2013-08-01 until 2013-08-02 00:00 UTC.*waiting: request 1"
    ):
        confirm(rt, "r1", trigger, freeze=["2013-07-30..2013-08-01"])
    assert [row["state"] for row in requests(rt)] == ["open"]
    order = confirm(at(NOON + 12 * HOUR), "r2", "signal", freeze=["2013-07-30..2013-08-01"])
    assert order.request_ids == [1]


def test_the_last_minute_of_a_freeze_is_waited_for_exactly(at):
    rt = at(datetime(2013, 8, 1, 23, 45, tzinfo=UTC))
    ask(rt, "decay:calibration_gap")
    with pytest.raises(TrainingRefusedError):
        confirm(rt, "r1", "signal", freeze=["2013-08-01"])
    assert requests(rt)[0]["not_before"] == datetime(2013, 8, 2, tzinfo=UTC)


def test_a_person_may_force_through_a_freeze(at):
    rt = at(NOON)
    assert confirm(rt, "r1", "manual", {"force": True, "reason": "regulator"}, freeze=["2013-08-01"])
    assert rt.ledger.read("trips", kind="training")[0]["evidence"]["forced"] is True


def test_a_request_that_a_person_forced_through_decide_keeps_its_force(at):
    rt = at(NOON)
    ask(rt, {"cause": "decay:calibration_gap", "force": True, "forced_by": "ann"})
    assert confirm(rt, "r1", "signal", freeze=["2013-08-01"], window="02:00-04:00", budget_per_month=0)


def test_a_stop_holds_back_the_schedule_and_signals_but_no_person(at):
    rt = at(NOON)
    set_automation(rt, "trips", running=False, reason="audit", by="ann")
    with pytest.raises(TrainingRefusedError, match="stopped by ann on 2013-08-01 12:00 UTC: audit"):
        confirm(rt, "r1", "schedule")
    ask(rt, "decay:calibration_gap")
    with pytest.raises(TrainingRefusedError, match="stopped by ann"):
        confirm(rt, "r2", "signal")
    order = confirm(rt, "r3", "manual", {"reason": "I look myself"})
    assert len(order.request_ids) == 3


def test_nothing_that_waits_is_lost_while_a_run_is_active(at):
    rt = at(NOON)
    confirm(rt, "r1", "schedule")
    with pytest.raises(TrainingRefusedError, match="run r1 is training it already"):
        confirm(rt, "r2", "manual", {"reason": "late data", "reason_kind": "data_correction", "trials": 7, "requested_by": "ann"})
    ask(rt, "decay:calibration_gap")
    finish_requests(rt, "trips", "r1", "done", 1, "registered")
    order = confirm(rt, "r3", "signal")
    assert [cause["cause"] for cause in order.cause["causes"]] == ["manual", "decay:calibration_gap"]
    assert order.overrides == {"trials": 7}
    assert order.cause["cause"] == "decay:calibration_gap"


def test_a_slot_that_was_made_good_is_not_trained_again_by_its_late_run(at):
    rt, slot = at(NOON), datetime.now(UTC).replace(second=0, microsecond=0) - HOUR
    cron = f"{slot.minute} {slot.hour} * * *"

    def ask_for(moment: datetime) -> None:
        with transaction(rt.engine) as connection:
            request_training(
                rt,
                connection,
                model="trips",
                source="schedule",
                reason="missed",
                cause={"cause": "schedule", SLOT: moment.isoformat()},
                requested_by="schedule",
                requested_at=NOON,
            )

    ask_for(slot - 24 * HOUR)
    confirm(rt, "r1", "signal", schedule=cron)
    finish_requests(rt, "trips", "r1", "done", 1, "registered")
    confirm(rt, "r2", "schedule", schedule=cron)  # the slot before says nothing of this one
    finish_requests(rt, "trips", "r2", "failed", None, "out of memory")
    ask_for(slot)
    order = confirm(rt, "r3", "signal", schedule=cron)
    for run_id in ("r4", "r5"):  # while it is trained, and afterwards
        with pytest.raises(TrainingRefusedError, match=f"slot of {slot:%Y-%m-%d %H:%M} UTC was trained already by run r3"):
            confirm(rt, run_id, "schedule", schedule=cron)
        finish_requests(rt, "trips", "r3", "done", 2, "registered")
    assert [row["state"] for row in requests(rt)] == ["done", "failed", "done"]
    assert order.source == "schedule"
    assert confirm(rt, "r6", "schedule", {"requested_by": "ann"}, schedule=cron)  # a person may ask all the same


@pytest.mark.parametrize("kind", REASON_KINDS)
def test_a_persons_reason_and_its_kind_stand_in_the_ledger(at, kind):
    rt = at(NOON)
    confirm(rt, "r1", "manual", {"reason": "because", "reason_kind": kind, "requested_by": "ann"})
    entry = rt.ledger.read("trips", kind="training")[0]
    assert entry["evidence"]["order"]["cause"]["reason_kind"] == kind
    assert (entry["reason"], entry["evidence"]["requested_by"]) == ("because", ["ann"])


def test_an_unknown_kind_of_reason_is_refused(at):
    with pytest.raises(SpecInvalidError, match="reason_kind: got 'mood'"):
        confirm(at(NOON), "r1", "manual", {"reason_kind": "mood"})


def test_who_asks_again_with_other_words_is_heard(at):
    rt = at(NOON)
    first = {"reason": "let us see", "requested_by": "ann"}
    with pytest.raises(TrainingRefusedError):
        confirm(rt, "r1", "manual", first, freeze=["2013-08-01"])
    again = {"reason": "the regulator asks", "reason_kind": "regulator", "force": True, "requested_by": "ann"}
    order = confirm(rt, "r2", "manual", again, freeze=["2013-08-01"])
    assert (len(order.request_ids), order.reason, order.cause["reason_kind"]) == (1, "the regulator asks", "regulator")
    assert [entry["evidence"].get("reason") for entry in rt.ledger.read("trips", kind="training")] == [None, "let us see"]
