"""Fairness gates against fairlearn's definitions by hand, and their error rates by simulation."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from include.lifecycle.evaluation.fairness import MEASURES, fairness_gates, group_rates
from include.lifecycle.evaluation.sample import sample_of
from include.lifecycle.verdicts import Verdict
from tests.integration.registry_lab import lab_spec


def spec(max_gap: float = 0.05, *, objective: dict[str, object] | None = None, **evaluation):
    judged_by = {"attributes": ["sex"], "max_gap": max_gap}
    return lab_spec("fair", objective=objective or {}, evaluation={"fairness": judged_by, **evaluation})


def table(
    rows: int = 4000, *, shift: float = 0.0, seed: int = 1, groups: tuple[str, ...] = ("f", "m")
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows over 40 days; group 0's scores are raised by `shift`."""
    random = np.random.default_rng(seed)
    group = random.integers(0, len(groups), rows)
    y = (random.random(rows) < 0.5).astype("int8")
    p = np.clip(0.5 + 0.15 * (2 * y - 1) + shift * (group == 0) + random.normal(0, 0.2, rows), 0, 1)
    frame = pd.DataFrame(
        {
            "flight_id": np.arange(rows).astype(str),
            "departs_at": pd.date_range(datetime(2013, 6, 1, tzinfo=UTC), periods=rows, freq=f"{40 * 86_400 // rows}s"),
            "late": y,
            "sex": pd.array(np.array(groups, dtype=object)[group], dtype="str"),
        }
    )
    return frame, p


def judged(frame: pd.DataFrame, p: np.ndarray, **changes) -> dict[str, Verdict]:
    one = spec(**changes)
    return {verdict.check.rpartition(":")[2]: verdict for verdict in fairness_gates(one, frame, sample_of(one, frame), p)}


def test_rates_are_those_of_the_definitions() -> None:
    frame, p = table(shift=0.1)
    sample, act = sample_of(spec(), frame), p >= 0.5
    for measure in MEASURES:
        rates = group_rates(measure, frame["sex"].to_numpy(), sample, act)
        for index, name in enumerate(rates.names):
            mine = (frame["sex"] == name).to_numpy()
            y = frame["late"].to_numpy() == 1
            wanted = {
                "demographic_parity": act[mine].mean(),
                "equal_opportunity": act[mine & y].mean(),
                "predictive_parity": y[mine & act].mean(),
            }[measure.name]
            assert rates.rate[index] == pytest.approx(wanted)


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_groups_are_compared_at_the_models_threshold(threshold: float) -> None:
    frame, p = table()
    p[:100] = threshold  # a row on the edge is acted upon
    rates = judged(frame, p, objective={"threshold": threshold})["demographic_parity"].evidence["rates"]
    for name, rate in rates.items():
        assert rate == pytest.approx((p[(frame["sex"] == name).to_numpy()] >= threshold).mean(), abs=1e-6)


def test_no_attribute_no_gate() -> None:
    frame, p = table()
    assert fairness_gates(lab_spec("fair"), frame, sample_of(lab_spec("fair"), frame), p) == []


def test_equal_treatment_passes_and_a_large_gap_fails() -> None:
    assert judged(*table(20_000), max_gap=0.1)["demographic_parity"].outcome == "pass"
    found = judged(*table(shift=0.2))
    assert found["demographic_parity"].outcome == "fail"
    assert found["equal_opportunity"].outcome == "fail"
    widest = found["demographic_parity"].evidence["widest"]
    assert widest["lower"] > 0.05
    assert widest["groups"] == ["f", "m"]


def test_a_gap_that_could_be_chance_is_inconclusive() -> None:
    assert judged(*table(1000, shift=0.03))["demographic_parity"].outcome == "inconclusive"


def test_small_groups_are_named_and_never_fail() -> None:
    frame, p = table(20_000)
    frame.loc[:9, "sex"] = "x"
    p[:10] = 1.0
    found = judged(frame, p, max_gap=0.1)["demographic_parity"]
    assert found.outcome == "inconclusive"
    assert found.evidence["too_small"] == ["x"]
    assert "x" in found.reason
    assert "x" not in found.evidence["rates"]


def test_a_group_of_one_day_says_nothing_of_other_days() -> None:
    frame, p = table(20_000)
    frame.loc[:99, "sex"] = "x"
    p[:100] = 1.0
    found = judged(frame, p, max_gap=0.1)["demographic_parity"]
    assert (found.outcome, found.evidence["too_small"]) == ("inconclusive", ["x"])


def test_nulls_are_a_group_of_their_own() -> None:
    frame, p = table()
    frame.loc[::2, "sex"] = None
    assert "(none)" in judged(frame, p)["demographic_parity"].evidence["rates"]


def test_too_few_rows_or_one_group_only() -> None:
    assert judged(*table(200))["demographic_parity"].outcome == "inconclusive"
    frame, p = table()
    assert judged(frame.assign(sex="f"), p)["demographic_parity"].outcome == "inconclusive"


def test_fair_models_rarely_fail_however_many_groups() -> None:
    """No true gap, six groups, limit 0: what fails is a false alarm, shared over fifteen pairs."""
    failed = 0
    for seed in range(60):
        frame, p = table(1500, seed=seed, groups=tuple("abcdef"))
        failed += judged(frame, p, max_gap=0.0, resamples=200)["demographic_parity"].failed
    assert failed <= 7
