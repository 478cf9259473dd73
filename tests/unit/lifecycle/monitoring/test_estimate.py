"""Performance without labels: equal to NannyML's, right on average, an error rate by simulation, and never a pass."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.evaluation.metrics import metrics_at
from include.lifecycle.evaluation.metrics_multiclass import METRICS as MULTICLASS
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.monitoring.outcomes.cbpe import calibrated, estimates, expected_skill, expected_value
from include.lifecycle.monitoring.outcomes.estimate import check_estimate, fitted_curves
from include.lifecycle.monitoring.profile import read_profile
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, as_labelled, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)
NOBODY = Labelled(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), 0.0)
STORED = json.loads((Path(__file__).parent / "reference" / "nannyml_cbpe.json").read_text())
PLAIN = [(np.array([0.0, 1.0]), np.array([0.0, 1.0]))]


def duller(predictions: np.ndarray, factor: float) -> np.ndarray:
    """Predictions with logits times `factor`: below 1 they tell less, as when inputs lose their range."""
    return 1 / (1 + np.exp(-np.log(predictions / (1 - predictions)) * factor))


def look(profile, *, factor=1.0, seed=1000, rows=1000, spec=None, labelled=NOBODY):
    frame, honest = make_table(1, start=LIVE, per_day=rows, seed=seed)
    return check_estimate(
        spec or make_spec(), profile, as_predictions(frame, duller(honest, factor), days=1, start=LIVE), labelled
    )


@pytest.mark.parametrize("case", ["calibrated", "bent"])
@pytest.mark.parametrize(
    ("metric", "tolerance"),
    [("roc_auc", 1e-6), ("accuracy", 1e-9), ("precision", 1e-9), ("recall", 1e-9), ("f1", 1e-9), ("average_precision", 1.2e-3)],
)
def test_it_equals_nannyml(case, metric, tolerance):
    """Also through its isotonic calibration. Average precision differs by how equal scores are grouped."""
    told = STORED[case]
    labels, before = (np.array(told["reference"][name], dtype=np.float64) for name in ("labels", "predictions"))
    curves = fitted_curves(labels, before) if told["needs_calibration"] else PLAIN
    for chunk, expected in zip(told["chunks"], told["values"][metric], strict=True):
        scores = np.array(chunk)
        found = expected_value(metrics_at(0.5)[metric], calibrated(curves, scores), scores)
        assert found == pytest.approx(expected, abs=tolerance)


@given(st.integers(0, 10_000), st.sampled_from(["brier_score", "log_loss", "accuracy", "roc_auc"]))
def test_it_is_the_mean_over_outcomes_that_follow_the_chances(seed, name):
    random = np.random.default_rng(seed)
    scores = np.round(random.uniform(0.05, 0.95, 400), 2)
    metric = metrics_at(0.5)[name]
    drawn = [metric.score((random.uniform(size=400) < scores).astype(np.float64), scores) for _ in range(60)]
    error = np.std(drawn) / np.sqrt(60)
    assert expected_value(metric, calibrated(PLAIN, scores), scores) == pytest.approx(np.mean(drawn), abs=6 * error + 1e-3)


@pytest.mark.parametrize("name", ["accuracy", "roc_auc_ovr", "f1_macro", "log_loss"])
def test_several_classes_are_estimated_as_well(name):
    random = np.random.default_rng(3)
    logits = random.normal(size=(4000, 3)) * 1.5
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(3, p=row) for row in chances], dtype=np.float64)
    found = expected_value(MULTICLASS[name], calibrated(PLAIN * 3, chances), chances)
    assert found == pytest.approx(MULTICLASS[name].score(labels, chances), abs=0.03)


def test_calibration_curves_mend_predictions_that_are_too_sure():
    told = STORED["bent"]
    labels, before = (np.array(told["reference"][name], dtype=np.float64) for name in ("labels", "predictions"))
    mended = calibrated(fitted_curves(labels, before), before)[:, 1]
    gap = metrics_at(0.5)["calibration_error"]
    assert gap.score(labels, mended) < 0.2 * gap.score(labels, before)


def test_the_jackknife_sees_more_error_in_fewer_rows():
    scores = np.random.default_rng(4).uniform(0.02, 0.98, 4000)
    errors = []
    for rows in (400, 4000):
        blocks = np.arange(rows) % 24
        value, skill = estimates(metrics_at(0.5)["roc_auc"], calibrated(PLAIN, scores[:rows]), scores[:rows], blocks)
        assert skill.value == pytest.approx(2 * value.value - 1)
        errors.append(skill.error)
    assert errors[0] == pytest.approx(errors[1] * np.sqrt(10), rel=0.6)
    assert expected_skill(metrics_at(0.5)["roc_auc"], calibrated(PLAIN, np.full(50, 0.4)), np.full(50, 0.4)) == pytest.approx(0)


def test_quiet_windows_fail_at_most_as_often_as_the_confidence_says(profile):
    """One-sided at 95 %: of 80 quiet windows 4 may fail; the band adds three errors, so nearly none do. None ever passes."""
    found = [look(profile, seed=2000 + seed, rows=400)[0] for seed in range(80)]
    assert sum(verdict.failed for verdict in found) <= 4
    assert {verdict.outcome for verdict in found} <= {Outcome.FAIL, Outcome.INCONCLUSIVE}


def test_the_band_holds_what_labels_show_later(profile):
    """The measured metric of quiet days lies within the band, but for its share of days."""
    spec, inside = make_spec(), 0
    for seed in range(100):
        frame, honest = make_table(1, start=LIVE, per_day=400, seed=3000 + seed)
        (verdict,) = check_estimate(spec, profile, as_predictions(frame, honest, days=1, start=LIVE), NOBODY)
        measured = metrics_at(0.5)["roc_auc"].score(frame["wet"].to_numpy(np.float64), honest)
        inside += verdict.evidence["band_lower"] <= measured <= verdict.evidence["band_upper"]
    assert inside >= 88  # one-sided at 95 % on either side


@pytest.mark.parametrize(("factor", "severity"), [(0.8, None), (0.3, "concept")])
def test_predictions_that_tell_less_are_an_estimated_decay(profile, factor, severity):
    (verdict,) = look(profile, factor=factor)
    assert verdict.check == "estimated_decay:roc_auc"
    if severity:
        assert (verdict.failed, verdict.evidence["severity"], verdict.evidence["rung"]) == (True, severity, "rollback")
        assert verdict.evidence["effect"] > verdict.evidence["lower"] > 0.2
    else:
        assert not verdict.passed
    assert 0 <= verdict.evidence["calibration_error"] < 0.05


def test_it_falls_silent_once_labels_speak_or_nobody_asked(profile):
    frame, honest = make_table(1, start=LIVE, per_day=400, seed=1)
    assert look(profile, labelled=as_labelled(frame, honest)) == []
    assert look(profile, spec=make_spec(monitoring={"performance": {"estimate": {"enabled": False}}})) == []


def test_what_gives_no_basis_is_inconclusive_and_says_why(profile):
    few = look(profile, rows=100)[0]
    older = profile.model_copy(update={"performance": profile.performance.model_copy(update={"estimate": None})})
    other = look(profile, spec=make_spec(objective={"metric": "brier_score"}))[0]
    for verdict, word in ((few, "minimum_rows"), (look(older)[0], "older"), (other, "roc_auc")):
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert word in verdict.reason


def test_it_travels_with_the_profile_and_older_profiles_are_read(profile, tmp_path):
    profile.write(tmp_path)
    assert read_profile(tmp_path).performance.estimate == profile.performance.estimate
    plain = json.loads((tmp_path / "profile.json").read_text())
    for name in ("estimate", "gap_deviations"):
        del plain["performance"][name]
    (tmp_path / "profile.json").write_text(json.dumps(plain))
    older = read_profile(tmp_path).performance
    assert (older.estimate, older.gap_deviations) == (None, {})


def test_a_window_without_labels_holds_the_estimate_beside_inconclusive_decay(profile):
    frame, honest = make_table(1, start=LIVE, per_day=1000, seed=9)
    window = as_predictions(frame, duller(honest, 0.3), days=1, start=LIVE)
    row = measure_window(make_spec(), profile, window, NOBODY, now=LIVE + timedelta(days=1), notes=[])
    found = {verdict["check"]: verdict["outcome"] for verdict in row["verdicts"]}
    assert (found["decay:roc_auc"], found["estimated_decay:roc_auc"]) == ("inconclusive", "fail")
