"""Drift between training and hold-out: found where planted, rarely where the days only differ as days do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from include.lifecycle.evaluation.drift import drift_gate
from tests.unit.lifecycle.evaluation.cases import spec_of, trips

SPEC = spec_of()


def split(days: int = 60, per_day: int = 40, seed: int = 1, weather: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    frame, _ = trips(days, per_day, seed)
    frame["wind"] += np.repeat(np.random.default_rng(seed).normal(0, weather, days), per_day)
    cut = len(frame) * 5 // 6
    return frame.iloc[:cut], frame.iloc[cut:]


def test_like_training_passes() -> None:
    (found,) = drift_gate(SPEC, *split())
    assert found.outcome == "pass"
    assert set(found.evidence["columns"]) == {"distance", "wind", "carrier", "hour"}
    assert found.evidence["act"] == "warn"


@pytest.mark.parametrize("method", ["wasserstein", "kl_divergence"])
def test_a_shifted_number_is_named(method: str) -> None:
    train, holdout = split()
    spec = spec_of()
    spec = spec.model_copy(
        update={
            "monitoring": spec.monitoring.model_copy(
                update={"drift": spec.monitoring.drift.model_copy(update={"numeric": method})}
            )
        }
    )
    (found,) = drift_gate(spec, train, holdout.assign(wind=holdout["wind"] + 8))
    assert found.outcome == "fail"
    assert [name for name, told in found.evidence["columns"].items() if told["drifted"]] == ["wind"]


def test_a_new_category_is_named() -> None:
    train, holdout = split()
    (found,) = drift_gate(SPEC, train, holdout.assign(carrier=holdout["carrier"].where(holdout["carrier"] != "AA", "ZZ")))
    assert [name for name, told in found.evidence["columns"].items() if told["drifted"]] == ["carrier"]


def test_too_little_to_tell() -> None:
    train, holdout = split()
    (few,) = drift_gate(SPEC, train, holdout.head(100))
    assert few.outcome == "inconclusive"
    (short,) = drift_gate(SPEC, train.tail(800), holdout)
    assert short.outcome == "inconclusive"
    assert "windows of the hold-out's length" in short.reason


def test_a_column_without_values_is_no_drift() -> None:
    train, holdout = split()
    (found,) = drift_gate(SPEC, train.assign(wind=np.nan), holdout)
    assert found.outcome == "pass"
    assert found.evidence["columns"]["wind"]["unknown"] is True


def test_days_with_weather_of_their_own_are_rarely_called_drift() -> None:
    """60 worlds, level 5 % over four features, no minimum effect: the null alone must hold the false alarms."""
    spec = spec_of(drift={"level": 0.05, "draws": 60})
    drift = spec.monitoring.drift.model_copy(update={"minimum_effect": 0.0})
    spec = spec.model_copy(update={"monitoring": spec.monitoring.model_copy(update={"drift": drift})})
    called = sum(drift_gate(spec, *split(seed=seed, weather=2.0))[0].failed for seed in range(60))
    assert called <= 8  # binomial 99 % quantile of 60 at 5 % is 7
