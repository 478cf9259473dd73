"""The verdict of a replay as a truth table, and what counts as different."""

from __future__ import annotations

import pytest

from include.lifecycle.registry.replay_report import differing, judge
from include.lifecycle.verdicts import Outcome

SAME, OFF = {"auc": (0.7, 0.7 + 5e-10)}, {"auc": (0.7, 0.7 + 2e-9), "brier": (0.1, 0.1)}
ROWS, PARAMS, HOME = {"train_rows": (1, 2)}, {"C": (1.0, 2.0)}, {"python": ("3.11", "3.12")}


@pytest.mark.parametrize(
    ("metrics", "data", "chosen", "environment", "outcome"),
    [
        (SAME, {}, {}, {}, Outcome.PASS),
        (SAME, {}, {}, HOME, Outcome.PASS),
        (OFF, {}, {}, {}, Outcome.FAIL),
        (OFF, {}, {}, HOME, Outcome.INCONCLUSIVE),
        (SAME, ROWS, {}, {}, Outcome.FAIL),
        (SAME, ROWS, {}, HOME, Outcome.INCONCLUSIVE),
        (SAME, {}, PARAMS, {}, Outcome.FAIL),
        ({"auc": (float("nan"), 0.7)}, {}, {}, {}, Outcome.FAIL),
        ({}, {}, {}, {}, Outcome.INCONCLUSIVE),
    ],
)
def test_the_verdict(metrics, data, chosen, environment, outcome) -> None:
    found, reason = judge(1e-9, metrics, data, chosen, environment)
    assert found is outcome
    assert reason


def test_a_fail_names_the_largest_difference() -> None:
    assert "auc differs by 2e-09" in judge(1e-9, OFF, {}, {}, {})[1]


def test_differing_names_nested_values_and_missing_ones() -> None:
    before = {"packages": {"numpy": "1", "scipy": "2"}, "python": "3", "gone": 1}
    now = {"packages": {"numpy": "1", "scipy": "3"}, "python": "3", "new": None}
    assert differing(before, now) == {"packages.scipy": ("2", "3"), "gone": (1, None)}
    assert differing(before, before) == {}
