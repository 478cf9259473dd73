"""The trigger's loop: what ends it, what it asks again, and how long it puts up with what nobody foresaw."""

from __future__ import annotations

import asyncio
import logging

import pytest
from structlog.contextvars import get_contextvars

from include.lifecycle.errors import GateFailedError, LeaseLostError, SourceUnavailableError
from include.lifecycle.results import RolloutOutcome
from modelops.triggers.rollout import MOST_SURPRISES, RolloutTrigger

OUTCOME = RolloutOutcome(rollout_id=7, model="churn", version=2, state="promoted", reason="the bake ended well")
BUG = KeyError("a bug")


@pytest.fixture
def drive(monkeypatch, caplog):
    """Run the trigger against looks that answer with these in turn; return its events and how many looks were left over."""

    def run(*answers):
        left = list(answers)

        def drive_once(rt, rollout_id, holder):
            assert (rt, rollout_id) == ("runtime", 7)
            assert holder.startswith("triggerer:")
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr("include.lifecycle.rollout.driver.drive_once", drive_once)
        monkeypatch.setattr("include.lifecycle.runtime.runtime", lambda: "runtime")

        async def collect():
            return [event.payload async for event in RolloutTrigger(rollout_id=7, poll=0).run()]

        try:
            return asyncio.run(collect()), len(left)
        finally:
            run.left = len(left)

    caplog.set_level(logging.INFO)
    return run


def test_it_fires_once_with_the_outcome(drive):
    assert drive(None, None, OUTCOME, OUTCOME) == ([OUTCOME.model_dump(mode="json")], 1)


@pytest.mark.parametrize(
    ("problem", "told"),
    [(LeaseLostError("by another"), "driven elsewhere"), (SourceUnavailableError("gateway is down"), "waits: gateway is down")],
)
def test_a_lost_lease_and_what_is_down_are_waited_for(drive, caplog, problem, told):
    events, left = drive(*[problem] * (MOST_SURPRISES + 1), OUTCOME)
    assert (len(events), left) == (1, 0)
    assert sum(told in line for line in caplog.messages) == MOST_SURPRISES + 1


def test_what_cannot_be_tried_again_is_raised_at_once(drive):
    with pytest.raises(GateFailedError, match="no"):
        drive(GateFailedError("no"), OUTCOME)
    assert drive.left == 1


def test_what_nobody_foresaw_is_logged_and_tried_again(drive, caplog):
    patience = [BUG] * (MOST_SURPRISES - 1)
    events, left = drive(*patience, None, *patience, OUTCOME)  # a look that goes through starts the count anew
    assert (len(events), left) == (1, 0)
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == 2 * len(patience)
    assert logged[0].exc_info[1] is BUG
    assert "rollout 7: unexpected error, 1 of 5" in logged[0].getMessage()


@pytest.mark.parametrize("between", [LeaseLostError("by another"), SourceUnavailableError("down")])
def test_what_nobody_foresaw_is_raised_the_fifth_time(drive, between):
    patience = [BUG] * (MOST_SURPRISES - 1)
    with pytest.raises(KeyError, match="a bug"):
        drive(*patience, between, BUG, OUTCOME)
    assert drive.left == 1


def test_every_line_of_a_look_names_model_and_version(monkeypatch):
    seen = []

    def drive_once(rt, rollout_id, holder):
        seen.append({name: get_contextvars().get(name) for name in ("model_name", "version")})
        return OUTCOME

    monkeypatch.setattr("include.lifecycle.rollout.driver.drive_once", drive_once)
    monkeypatch.setattr("include.lifecycle.runtime.runtime", lambda: "runtime")

    async def collect(version):
        return [event async for event in RolloutTrigger(7, 0, "churn", version).run()]

    async def both():
        await asyncio.gather(collect(8), collect(9))

    asyncio.run(both())
    assert sorted(seen, key=str) == [{"model_name": "churn", "version": 8}, {"model_name": "churn", "version": 9}]
    assert "model_name" not in get_contextvars()
