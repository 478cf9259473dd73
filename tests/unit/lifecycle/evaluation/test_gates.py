"""Gates: three-valued, with evidence, and right in the long run."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from include.lifecycle.evaluation.gates import baseline_gate, beyond, comparison_gate, floor_gate
from include.lifecycle.evaluation.metrics import metrics_at
from include.lifecycle.evaluation.sample import MOST_BLOCKS, Sample, rows_digest, sample_of
from include.lifecycle.statistics.intervals import Interval
from include.lifecycle.verdicts import Outcome, Verdict
from tests.integration.registry_lab import lab_spec

AUC, BRIER = metrics_at(0.5)["roc_auc"], metrics_at(0.5)["brier_score"]
SPEC = lab_spec("gates")


def table(days: int = 20, per_day: int = 60, seed: int = 1) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows with labels, and scores that rank them with an AUC of about 0.76."""
    random = np.random.default_rng(seed)
    rows = days * per_day
    late = (random.random(rows) < 0.3).astype("int8")
    frame = pd.DataFrame(
        {
            "flight_id": [str(number) for number in range(rows)],
            "departs_at": pd.date_range(datetime(2013, 7, 1, tzinfo=UTC), periods=rows, freq=f"{86_400 // per_day}s"),
            "late": late,
        }
    )
    return frame, 1 / (1 + np.exp(-(random.normal(0, 1, rows) + 1.0 * late - 1.2)))


def interval(lower: float, upper: float) -> Interval:
    return Interval(estimate=(lower + upper) / 2, lower=lower, upper=upper, confidence=0.95)


@pytest.mark.parametrize(
    ("bounds", "strictly", "outcome"),
    [
        ((0.1, 0.2), False, "pass"),
        ((0.0, 0.2), False, "pass"),
        ((0.0, 0.2), True, "inconclusive"),
        ((-0.1, 0.2), False, "inconclusive"),
        ((-0.2, -0.1), False, "fail"),
        ((-0.2, 0.0), False, "inconclusive"),
        ((-0.2, 0.0), True, "fail"),
        ((0.0, 0.0), False, "pass"),
        ((0.0, 0.0), True, "fail"),
        ((float("nan"), float("nan")), False, "inconclusive"),
    ],
)
def test_beyond(bounds: tuple[float, float], strictly: bool, outcome: str) -> None:
    assert beyond(interval(*bounds), 0.0, strictly=strictly) == outcome


@pytest.mark.parametrize(("floor", "outcome"), [(0.6, "pass"), (0.76, "inconclusive"), (0.9, "fail")])
def test_floor_of_a_metric_that_should_be_high(floor: float, outcome: str) -> None:
    frame, p = table()
    verdict = floor_gate(AUC, floor, sample_of(SPEC, frame), p)
    assert verdict.outcome == outcome, verdict.reason
    assert verdict.evidence["rows"] == 1200
    assert verdict.evidence["blocks"] == 20


@pytest.mark.parametrize(("floor", "outcome"), [(0.25, "pass"), (0.1, "fail")])
def test_floor_of_a_metric_that_should_be_low(floor: float, outcome: str) -> None:
    frame, p = table()
    assert floor_gate(BRIER, floor, sample_of(SPEC, frame), p).outcome == outcome


def test_few_rows_or_few_days_are_inconclusive_however_good() -> None:
    frame, p = table(days=4, per_day=60)
    verdict = floor_gate(AUC, 0.5, sample_of(SPEC, frame), p)
    assert verdict.outcome == "inconclusive"
    assert "240 rows; evaluation.minimum_rows is 300" in verdict.reason
    frame, p = table(days=4, per_day=100)
    assert "4 blocks of one day" in floor_gate(AUC, 0.5, sample_of(SPEC, frame), p).reason


def test_no_row_at_all_is_inconclusive() -> None:
    frame, p = table()
    sample = sample_of(SPEC, frame.head(0))
    verdict = comparison_gate(AUC, sample, p[:0], p[:0], margin=0.005, why="schedule", champion=3)
    assert verdict.outcome == "inconclusive"
    assert verdict.evidence["gain"]["estimate"] is None


def test_entities_are_blocks_when_the_spec_says_so() -> None:
    frame, _ = table()
    sample = sample_of(lab_spec("gates", evaluation={"resample_by": "entity"}), frame)
    assert sample.blocks == len(frame)


def test_entities_may_be_named_by_a_column_and_many_are_dealt_into_groups() -> None:
    frame, _ = table()
    frame["person"] = np.arange(len(frame)) // 3
    sample = sample_of(lab_spec("gates", evaluation={"resample_by": "entity", "entity": "person"}), frame)
    assert sample.blocks == len(frame) / 3
    many = pd.concat([frame.assign(flight_id=f"{copy}-" + frame["flight_id"]) for copy in range(3)])
    dealt = sample_of(lab_spec("gates", evaluation={"resample_by": "entity"}), many)
    assert dealt.blocks == MOST_BLOCKS
    assert np.bincount(dealt.codes).max() <= 2


def test_baseline() -> None:
    frame, p = table()
    sample = sample_of(SPEC, frame)
    trivial = np.full(len(p), 0.3)
    assert baseline_gate(AUC, sample, p, trivial).outcome == "pass"
    assert baseline_gate(BRIER, sample, trivial.copy(), trivial).outcome == "fail"
    noise = np.random.default_rng(3).random(len(p))
    assert baseline_gate(AUC, sample, noise, trivial).outcome == "inconclusive"
    assert baseline_gate(AUC, sample, 1 - p, trivial).outcome == "fail"
    assert baseline_gate(AUC, sample, p, trivial).evidence["baseline"] == 0.5


def test_comparison_with_the_champion() -> None:
    frame, p = table(days=30, per_day=200)
    sample = sample_of(SPEC, frame)
    worse = np.clip(p + np.random.default_rng(8).normal(0, 0.3, len(p)), 0, 1)

    def compared(new: np.ndarray, old: np.ndarray, margin: float | None) -> Verdict:
        return comparison_gate(AUC, sample, new, old, margin=margin, why="a test", champion=7)

    assert compared(p, worse, None).outcome == "pass"
    assert compared(worse, p, None).outcome == "fail"
    assert compared(worse, p, 0.005).outcome == "fail"
    assert compared(p, p, 0.005).outcome == "pass"
    assert compared(p, p, None).outcome == "fail", "the same model is not better"
    slightly = np.clip(p + np.random.default_rng(8).normal(0, 0.05, len(p)), 0, 1)
    assert compared(slightly, p, None).outcome != "pass"
    verdict = compared(p, worse, None)
    assert verdict.check == "champion:better:roc_auc"
    assert verdict.evidence["champion_version"] == 7


def test_equal_models_are_rarely_called_better_or_worse() -> None:
    """Champion and challenger of equal skill and independent noise: each wrong call at most at about 2.5 %."""
    calls = dict.fromkeys(Outcome, 0)
    for seed in range(120):
        random = np.random.default_rng(seed)
        days = np.repeat(np.arange(20), 30)
        y = (random.random(600) < 0.3 + 0.1 * random.normal(size=20)[days]).astype(float)
        sample = Sample(y, days, random.multinomial(20, np.full(20, 0.05), 200).astype(float), 0.95, 300, "day", "")
        new, old = (1 / (1 + np.exp(-(random.normal(0, 1, 600) + y - 1))) for _ in range(2))
        calls[comparison_gate(AUC, sample, new, old, margin=None, why="", champion=1).outcome] += 1
    assert calls[Outcome.PASS] <= 8
    assert calls[Outcome.FAIL] <= 8


def test_the_digest_tells_rows_apart() -> None:
    frame, _ = table()
    assert rows_digest(SPEC, frame) == rows_digest(SPEC, frame.copy())
    assert rows_digest(SPEC, frame) != rows_digest(SPEC, frame.iloc[1:])
    assert rows_digest(SPEC, frame) != rows_digest(SPEC, frame.iloc[::-1])
    assert rows_digest(SPEC, frame) != rows_digest(SPEC, frame.assign(late=1 - frame["late"]))
