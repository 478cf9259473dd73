"""Rows of one served model, as monitoring, decisions and rollouts write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from include.lifecycle.database import transaction
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import desired_traffic, rollouts, windows
from include.lifecycle.verdicts import Outcome, Verdict
from tests.conftest import NOW

MODEL = "flight_delay"


def verdict(check: str, outcome: str = "pass", **evidence: Any) -> dict[str, Any]:
    return Verdict(check=check, outcome=Outcome(outcome), reason="because", evidence=evidence).model_dump(mode="json")


def window(version: int = 3, *, age: timedelta = timedelta(hours=1), **values: Any) -> dict[str, Any]:
    measured = {"label_coverage": 0.5, "performance": {"accuracy": 0.91, "roc_auc": 0.7}}
    found = {
        "model": MODEL,
        "version": version,
        "window_start": NOW - age - timedelta(hours=24),
        "window_end": NOW - age,
        "rows": 5000,
        "mature_rows": 2500,
        "health": 0.87,
        "health_parts": {"drift": 0.5},
        "measurements": measured,
        "verdicts": [
            verdict("covariate:distance", "fail", effect=0.4),
            verdict("covariate:carrier", effect=0.05),
            verdict("covariate:origin", "inconclusive", effect=9.0),
            verdict("prediction_drift", effect=0.02),
        ],
    }
    return found | values


def samples(exposition: bytes) -> dict[tuple[str, ...], float]:
    """{(name, "label=value", ...): value}, labels in order of their names."""
    found = {}
    for family in text_string_to_metric_families(exposition.decode()):
        for one in family.samples:
            found[(one.name, *(f"{name}={value}" for name, value in sorted(one.labels.items())))] = one.value
    return found


@pytest.fixture
def served(rt: Runtime) -> Runtime:
    """Version 3 is champion, version 4 a canary with 10 %."""
    with transaction(rt.engine) as connection:
        values = {"model": MODEL, "revision": 1, "weights": {"3": 90, "4": 10}, "champion": 3}
        connection.execute(desired_traffic.insert().values(values))
        begun = {"model": MODEL, "version": 3, "strategy": "direct", "state": "promoted", "created_at": NOW - timedelta(days=2)}
        connection.execute(rollouts.insert().values(begun))
        connection.execute(rollouts.insert().values(begun | {"version": 4, "strategy": "canary", "state": "running"}))
        connection.execute(windows.insert().values(window(age=timedelta(hours=30), health=0.1)))
        connection.execute(windows.insert().values(window()))
    return rt
