"""Fairness gates against fairlearn, and their error rates by simulation."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from include.lifecycle.evaluation.fairness import fairness_gates, group_labels, group_rates, measures_of
from include.lifecycle.evaluation.sample import sample_of
from include.lifecycle.verdicts import Verdict
from tests.integration.registry_lab import lab_spec
from tests.unit.lifecycle.evaluation.cases import spec_of, trips


def spec(
    max_gap: float = 0.05, *, objective: dict[str, object] | None = None, fairness: dict[str, object] | None = None, **evaluation
):
    judged_by = {
        "attributes": ["sex"],
        "intersections": [],
        "max_gap": max_gap,
        "minimum_group": 30,
        "bins": 4,
        **(fairness or {}),
    }
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
    for measure in measures_of(spec(), sample.y, p):
        rates = group_rates(measure, frame["sex"].to_numpy(), sample)
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


def test_gaps_are_fairlearns() -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    frame, p = table(6000, shift=0.15, groups=("a", "b", "c"))
    y, act, sex = frame["late"].to_numpy(), (p >= 0.5).astype(int), frame["sex"].astype(str).to_numpy()
    found = {name: one.evidence["widest"]["gap"] for name, one in judged(frame, p).items()}
    assert found["demographic_parity"] == pytest.approx(
        metrics.demographic_parity_difference(y, act, sensitive_features=sex), abs=1e-6
    )
    assert found["equal_opportunity"] == pytest.approx(
        metrics.equal_opportunity_difference(y, act, sensitive_features=sex), abs=1e-6
    )
    precision = metrics.MetricFrame(
        metrics={"precision": lambda truth, said: truth[said == 1].mean()}, y_true=y, y_pred=act, sensitive_features=sex
    )
    assert found["predictive_parity"] == pytest.approx(float(precision.difference()["precision"]), abs=1e-6)


def test_subgroups_of_several_attributes_are_fairlearns() -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    frame, p = table(8000)
    frame["region"] = np.where(np.arange(len(frame)) % 3 == 0, "north", "south")
    p = np.clip(p + 0.2 * ((frame["sex"] == "f") & (frame["region"] == "north")), 0, 1)
    one = spec(fairness={"attributes": [], "intersections": [["sex", "region"]]})
    (found, *_) = fairness_gates(one, frame, sample_of(one, frame), np.asarray(p))
    assert found.check == "fairness:sex*region:demographic_parity"
    assert set(found.evidence["rates"]) == {f"{sex} and {region}" for sex in "fm" for region in ("north", "south")}
    act = (np.asarray(p) >= 0.5).astype(int)
    wanted = metrics.demographic_parity_difference(frame["late"], act, sensitive_features=frame[["sex", "region"]])
    assert found.evidence["widest"]["gap"] == pytest.approx(wanted, abs=1e-6)
    assert found.outcome == "fail"


def test_numbers_are_cut_at_their_quantiles() -> None:
    frame, _ = table(1000)
    frame["years"] = np.arange(1000.0)
    frame.loc[:9, "years"] = np.nan
    groups, sizes = np.unique(group_labels(frame, ["years"], 4), return_counts=True)
    assert len(groups) == 5
    assert sizes.max() <= 250
    assert set(np.unique(group_labels(frame.assign(years=frame["years"] % 3), ["years"], 4))) == {"0.0", "1.0", "2.0", "(none)"}


def test_the_smallest_group_is_a_key() -> None:
    frame, p = table(4000)
    assert judged(frame, p, fairness={"minimum_group": 3000})["demographic_parity"].outcome == "inconclusive"


def test_regression_compares_mean_predictions_and_errors() -> None:
    frame, _ = trips(40, 100)
    delay = frame["wind"].to_numpy()
    p = delay + 5.0 * (frame["carrier"] == "AA").to_numpy()
    one = spec_of("regression", fairness={"attributes": ["carrier"]})
    frame["late"] = delay
    found = {verdict.check: verdict for verdict in fairness_gates(one, frame, sample_of(one, frame), p)}
    gap = found["fairness:carrier:error_parity"]
    assert gap.outcome == "fail"
    assert gap.evidence["widest"]["gap"] == pytest.approx(5.0 / delay.std(), abs=1e-6)


def test_each_class_of_several_is_compared() -> None:
    frame, _ = trips(40, 100)
    random = np.random.default_rng(3)
    frame["late"] = random.choice(["early", "late", "never"], len(frame))
    p = random.dirichlet([1, 1, 1], len(frame))
    one = spec_of("multiclass_classification", fairness={"attributes": ["carrier"], "max_gap": 0.3})
    found = fairness_gates(one, frame, sample_of(one, frame), p)
    assert len(found) == 9
    assert {verdict.outcome.value for verdict in found} == {"pass"}
    shares = found[0].evidence["rates"]
    assert shares["AA"] == pytest.approx((p[(frame["carrier"] == "AA").to_numpy()].argmax(axis=1) == 0).mean(), abs=1e-6)
