"""The replay operator: a differing version fails its task, an inconclusive one does not; who asks stands in the ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.lifecycle.registry import replay
from include.lifecycle.registry.replay_report import ReplayReport
from include.lifecycle.verdicts import Outcome
from modelops.operators import registry
from modelops.operators.registry import ReplayVersionOperator

CONTEXT = {"ti": SimpleNamespace(run_id="manual__1", task_id="replay_version", try_number=1)}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the lifecycle was asked; its answer is the outcome that the model is named after."""
    asked: list[object] = []

    def answer(_rt, run, wanted):
        asked.extend([run.actor, wanted.version, wanted.tune])
        return ReplayReport(
            model=wanted.model,
            version=wanted.version,
            at=datetime(2013, 8, 1, tzinfo=UTC),
            outcome=Outcome(wanted.model),
            reason="a test",
            tuned=wanted.tune,
            tolerance=1e-9,
            metrics={},
            data={},
            chosen={},
            environment={},
        )

    monkeypatch.setattr(replay, "replay_version", answer)
    monkeypatch.setattr(registry, "runtime", lambda: None)
    return asked


@pytest.mark.parametrize("outcome", ["pass", "inconclusive"])
def test_a_replay_that_does_not_fail_hands_on_its_report(asked, outcome):
    operator = ReplayVersionOperator(task_id="replay_version", model=outcome, version="3", tune="True")
    assert operator.execute(CONTEXT)["outcome"] == outcome
    assert asked == ["airflow:replay_version", 3, True]


def test_a_failed_replay_fails_its_task_for_good(asked):
    with pytest.raises(AirflowFailException, match="replay of fail version 3 failed: a test"):
        ReplayVersionOperator(task_id="replay_version", model="fail", version=3).execute(CONTEXT)
    assert asked[-1] is False
