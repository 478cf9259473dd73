"""What a challenger must show, by why it was trained."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from include.lifecycle.evaluation.champion import Champion, decayed_measure, demands
from include.lifecycle.registry.scoring import describe
from include.lifecycle.results import TrainingOrder
from tests.integration.registry_lab import lab_spec

SPEC = lab_spec("demands")
NOW = datetime(2013, 8, 1, tzinfo=UTC)


def order(**cause: Any) -> TrainingOrder:
    return TrainingOrder(
        model="demands", request_ids=[], source="x", reason="x", cause=cause, as_of=NOW, window_start=NOW, window_end=NOW
    )


def champion(algorithm: str = "random_forest", spec=SPEC) -> Champion:
    serving = describe(spec, version=3, engine="onnx")
    return Champion(3, NOW, algorithm, "0" * 64, engine=None, serving=serving)  # type: ignore[arg-type]


def wanted(found) -> list[tuple[str, float | None]]:
    return [(demand.metric.name, demand.margin) for demand in found]


def test_a_schedule_asks_for_not_worse() -> None:
    found = demands(SPEC, order(cause="schedule"), "random_forest", champion())
    assert wanted(found) == [("roc_auc", SPEC.evaluation.margin)]


@pytest.mark.parametrize("cause", [{"kind": "decay", "measure": "calibration_gap"}, {"cause": "decay:calibration_gap"}])
def test_decay_of_calibration_asks_for_a_better_brier_score(cause: dict[str, Any]) -> None:
    found = demands(SPEC, order(**cause), "random_forest", champion())
    assert wanted(found) == [("brier_score", None), ("roc_auc", SPEC.evaluation.margin)]
    assert "calibration_gap" in found[0].why


def test_decay_of_the_objective_asks_for_better_only() -> None:
    assert wanted(demands(SPEC, order(cause="decay:roc_auc"), "random_forest", champion())) == [("roc_auc", None)]


def test_other_signals_ask_for_not_worse() -> None:
    assert decayed_measure(order(cause="covariate:temp", kind="covariate")) is None
    assert decayed_measure(order()) is None


def test_a_changed_algorithm_or_feature_or_the_spec_asks_for_better() -> None:
    assert wanted(demands(SPEC, order(), "hist_gradient_boosting", champion())) == [("roc_auc", None)]
    fewer = lab_spec("demands", features={"numeric": ["wind"]})
    assert wanted(demands(SPEC, order(), "random_forest", champion(spec=fewer))) == [("roc_auc", None)]
    strict = lab_spec("demands", evaluation={"promote_if": "better"})
    assert wanted(demands(strict, order(), "random_forest", champion())) == [("roc_auc", None)]
