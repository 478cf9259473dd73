"""The keys of the gates: bounds at their edges, and names that the rules know are the ones that exist."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from include.lifecycle.data.types import required_columns
from include.lifecycle.evaluation.metrics import metrics_of
from include.lifecycle.rules.evaluation import METRIC_NAMES
from tests.unit.lifecycle.evaluation.cases import spec_of


@pytest.mark.parametrize("task", list(METRIC_NAMES))
def test_the_rules_know_every_metric(task: str) -> None:
    assert METRIC_NAMES[task] == tuple(metrics_of(spec_of(task)))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"calibration": {"max_error": 0.0}}, {"calibration": {"max_error": -0.01}}),
        ({"calibration": {"max_error": 1.0}}, {"calibration": {"max_error": 1.01}}),
        ({"action_rate": {"act": "off"}}, {"action_rate": {"act": "maybe"}}),
        ({"fairness": {"minimum_group": 1}}, {"fairness": {"minimum_group": 0}}),
        ({"fairness": {"bins": 2}}, {"fairness": {"bins": 1}}),
        ({"fairness": {"intersections": [["carrier", "hour"]]}}, {"fairness": {"intersections": [["carrier"]]}}),
        ({"slice_search": {"level": 0.49}}, {"slice_search": {"level": 0.5}}),
        ({"slice_search": {"most": 1}}, {"slice_search": {"most": 0}}),
        ({"consistency": {"rows": 30}}, {"consistency": {"rows": 29}}),
        ({"consistency": {"tolerance": 0.0}}, {"consistency": {"tolerance": -1e-9}}),
        ({"drift": {"draws": 20}}, {"drift": {"draws": 19}}),
        ({"importance": {"repeats": 1}}, {"importance": {"repeats": 0}}),
        ({"latency": {"p95": "1ms"}}, {"latency": {"p95": "0s"}}),
        ({"slices": [{"name": "ua", "where": "carrier = 'UA'"}]}, {"slices": [{"name": "ua", "where": ""}]}),
        ({"on_inconclusive": {"better": "refuse"}}, {"on_inconclusive": {"better": "pass"}}),
        ({"business": {"margin": 0.0}}, {"business": {"margin": -0.1}}),
        ({"floors": {"accuracy": 0.85}}, {"floors": {"accuracy": "high"}}),
    ],
)
def test_bounds(good: dict[str, Any], bad: dict[str, Any]) -> None:
    assert spec_of(**good)
    with pytest.raises(ValidationError):
        spec_of(**bad)


def test_columns_that_only_gates_read_are_asked_of_the_query() -> None:
    spec = spec_of(
        resample_by="entity", entity="person", fairness={"attributes": ["female"], "intersections": [["female", "region"]]}
    )
    assert {"person", "female", "region"} <= set(required_columns(spec))
