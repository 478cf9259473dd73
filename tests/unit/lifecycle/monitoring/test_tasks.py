"""Windows of regression and multiclass models: what each check must find, and what it must leave alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from include.lifecycle.evaluation.metrics import metrics_of, objective_metric
from include.lifecycle.monitoring.drift import check_prediction_drift
from include.lifecycle.monitoring.labels import Labelled, labelled_predictions, mature_labels
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.monitoring.performance import CALIBRATION, check_performance, performance_numbers
from include.lifecycle.monitoring.predictions import Predictions, microseconds, open_log
from include.lifecycle.monitoring.profile import CategoricalProfile, NumericProfile, Profile, build_profile, read_profile
from include.lifecycle.monitoring.skill import no_skill, skill, skill_beyond, time_blocks, whole_skill
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, log_lines, make_spec, make_table, write_log

NAMES = ["dry", "drizzle", "storm"]
LIVE = START + timedelta(days=200)
REGRESSION = make_spec(objective={"task": "regression", "metric": "rmse", "floor": "none"})
MULTI = make_spec(objective={"task": "multiclass_classification", "metric": "log_loss", "floor": "none", "classes": NAMES})


@dataclass
class Seen:
    """One window of a task: table, predictions, labels as numbers."""

    frame: pd.DataFrame
    p: np.ndarray
    y: np.ndarray


def seen(
    spec: ModelSpec, days: int, *, start=START, seed: int = 1, per_day: int = 200, worse: float = 0.0, bias: float = 0.0
) -> Seen:
    """Honest predictions, `worse` blends others' predictions in, `bias` moves the outcomes."""
    frame, _ = make_table(days, start=start, seed=seed, per_day=per_day)
    random = np.random.default_rng(seed + 1)
    level = 0.8 * frame["wind"].to_numpy() - 0.2 * frame["warmth"].to_numpy()
    if spec.objective.task == "regression":
        p, y = level, level + random.normal(bias, 2.0, len(frame))
        frame["wet"] = y
    else:
        scores = np.column_stack([np.zeros(len(level)), 0.5 * level, 0.9 * level - 2 + bias])
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        y = (random.random((len(level), 1)) > shares.cumsum(axis=1)[:, :-1]).sum(axis=1).astype(float)
        plain = np.column_stack([np.zeros(len(level)), 0.5 * level, 0.9 * level - 2])
        p = np.exp(plain) / np.exp(plain).sum(axis=1, keepdims=True)
        frame["wet"] = np.array(NAMES, dtype=object)[y.astype(int)]
    other = random.random(len(p)) < worse
    p = p.copy()
    p[other] = random.permutation(p)[other]
    return Seen(frame, p, y)


def profile_of(spec: ModelSpec) -> Profile:
    train, held = seen(spec, 60, seed=11), seen(spec, 30, start=START + timedelta(days=60), seed=12)
    return build_profile(spec, train.frame, held.frame, held.p, seed=3)


@pytest.fixture(scope="module", params=[REGRESSION, MULTI], ids=["regression", "multiclass"])
def known(request) -> tuple[ModelSpec, Profile]:
    return request.param, profile_of(request.param)


def window_of(found: Seen, days: int) -> tuple[Predictions, Labelled]:
    stamps = found.frame["at"].dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    many = found.p.ndim == 2
    predictions = Predictions(
        version=1,
        window=Window(LIVE, LIVE + timedelta(days=days)),
        times=stamps,
        keys=found.frame["id"].to_numpy(object),
        values=found.p.argmax(axis=1).astype(float) if many else found.p,
        latencies=np.full(len(stamps), 1.0),
        features={name: found.frame[name].to_numpy() for name in ("wind", "warmth")}
        | {"city": found.frame["city"].to_numpy(object)},
        probabilities=found.p if many else None,
    )
    return predictions, Labelled(found.y, found.p, stamps, 1.0)


def test_a_profile_is_written_and_read_again(known, tmp_path):
    spec, profile = known
    profile.write(tmp_path)
    again = read_profile(tmp_path)
    assert again.model_dump() == profile.model_dump()
    wanted = NumericProfile if spec is REGRESSION else CategoricalProfile
    assert isinstance(again.prediction, wanted)
    assert (again.performance.spread is not None) == (spec is REGRESSION)
    assert again.performance.windows >= 5


def test_nothing_is_found_where_nothing_changed(known):
    spec, profile = known
    predictions, labelled = window_of(seen(spec, 8, start=LIVE, seed=21), 8)
    verdicts = [
        check_prediction_drift(spec, profile, predictions),
        *check_performance(spec, profile, predictions.window, labelled),
    ]
    assert {verdict.check: verdict.outcome for verdict in verdicts} == {
        "prediction_drift": Outcome.PASS,
        f"decay:{spec.objective.metric}": Outcome.PASS,
        CALIBRATION: Outcome.PASS,
    }


def test_predictions_that_know_less_are_decay(known):
    spec, profile = known
    predictions, labelled = window_of(seen(spec, 8, start=LIVE, seed=21, worse=0.6), 8)
    decay, _ = check_performance(spec, profile, predictions.window, labelled)
    assert (decay.outcome, decay.evidence["severity"]) == (Outcome.FAIL, "concept"), decay.reason
    assert ("larger by" in decay.reason) == (spec is REGRESSION)


def test_outcomes_that_moved_are_a_calibration_gap(known):
    spec, profile = known
    predictions, labelled = window_of(seen(spec, 8, start=LIVE, seed=21, bias=2.0), 8)
    gap = check_performance(spec, profile, predictions.window, labelled)[1]
    assert gap.failed, gap.reason
    if spec is REGRESSION:
        assert gap.evidence["gap"] == pytest.approx(-2.0 / profile.performance.spread, abs=0.05)
        assert "standard deviations" in gap.reason
    else:
        assert gap.evidence["class"] in NAMES
        assert gap.reason.startswith(f"class {gap.evidence['class']}: ")


def test_other_predictions_are_drift(known):
    spec, profile = known
    predictions, _ = window_of(seen(spec, 4, start=LIVE, seed=21), 4)
    moved = replace(predictions, values=predictions.values * 0 + 2)
    verdict = check_prediction_drift(spec, profile, moved)
    assert verdict.failed
    if spec is MULTI:
        assert verdict.evidence["predicted_shares"] == {"storm": 1.0}


def test_a_class_that_training_forgot_in_the_labels_is_no_label():
    at = pd.Timestamp(START)
    frame = pd.DataFrame({"key": ["a", "b", "c"], "event_time": [at] * 3, "label": ["dry", "snow", None], "known_at": [at] * 3})
    found = mature_labels(frame, START + timedelta(days=1), microseconds(START + timedelta(days=1)), NAMES)
    assert found.positions.keys() == {("a", microseconds(START))}
    assert found.values.tolist() == [0.0]


def test_the_window_of_a_logged_multiclass_model_is_measured(tmp_path):
    found = seen(MULTI, 1, start=LIVE, seed=31, per_day=300)
    lines = []
    for line, shares in zip(log_lines(found.frame, found.p.argmax(axis=1), version=1), found.p, strict=True):
        told = f', "label": "{NAMES[shares.argmax()]}", "probabilities": {shares.tolist()}}}'
        lines.append(line[:-1] + told)
    write_log(tmp_path, lines, version=1)
    with open_log(MULTI, tmp_path, LIVE, LIVE + timedelta(days=1)) as log:
        predictions = log.read(1, Window(LIVE, LIVE + timedelta(days=1)))
    assert predictions.probabilities == pytest.approx(found.p)
    outcomes = pd.DataFrame({"key": found.frame["id"], "event_time": found.frame["at"], "label": found.frame["wet"]})
    outcomes["known_at"] = found.frame["at"]
    end = LIVE + timedelta(days=1)
    labelled = labelled_predictions(predictions, mature_labels(outcomes, end, microseconds(end), NAMES))
    assert labelled.coverage == 1.0
    row = measure_window(MULTI, profile_of(MULTI), predictions, labelled, now=end + timedelta(days=3), notes=[])
    assert set(row["measurements"]["predicted_shares"]) == set(NAMES)
    assert row["measurements"]["performance"]["log_loss"] < row["measurements"]["performance"]["no_skill"]
    assert row["health"] > 0.8


def test_rows_of_another_task_in_the_log_have_no_probabilities(tmp_path):
    found = seen(MULTI, 1, start=LIVE, seed=31, per_day=20)
    write_log(tmp_path, log_lines(found.frame, found.p.argmax(axis=1), version=1), version=1)
    with open_log(MULTI, tmp_path, LIVE, LIVE + timedelta(days=1)) as log:
        predictions = log.read(1, Window(LIVE, LIVE + timedelta(days=1)))
    assert np.isnan(predictions.scores).all()
    labels = mature_labels(pd.DataFrame({"key": [], "event_time": [], "label": [], "known_at": []}), LIVE, 0, NAMES)
    assert labelled_predictions(predictions, labels).labels.size == 0


def test_performance_numbers_of_a_regression():
    found = seen(REGRESSION, 2, seed=5)
    numbers = performance_numbers(REGRESSION, window_of(found, 2)[1])
    assert numbers["mean_error"] == pytest.approx(np.mean(found.p - found.y))
    assert numbers["rmse"] == pytest.approx(np.sqrt(np.mean((found.p - found.y) ** 2)))
    assert {"observed_mean", "mean_prediction", "no_skill"} <= numbers.keys()


@pytest.mark.parametrize("metric", ["log_loss", "brier_score", "roc_auc_ovr"])
def test_multiclass_skill_is_zero_for_the_shares_and_one_for_the_truth(metric):
    y = np.repeat([0.0, 1.0, 2.0], [20, 50, 30])
    shares = np.array([[0.2, 0.5, 0.3]])
    measure = metrics_of(MULTI)[metric]
    assert whole_skill(measure, y, np.repeat(shares, 100, axis=0))[0] == pytest.approx(0, abs=1e-9)
    assert whole_skill(measure, y, np.eye(3)[y.astype(int)])[0] == pytest.approx(1, abs=1e-9)
    assert no_skill(metric, shares, binary=False)[0] == pytest.approx(measure.score(y, np.repeat(shares, 100, axis=0)))


def test_an_error_is_compared_as_it_is():
    assert skill_beyond("rmse", np.array([3.0]), np.array([0.0]))[0] == 3.0
    found = seen(REGRESSION, 10, seed=5)
    times = found.frame["at"].dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64) / 1e6
    blocks = time_blocks(times, START.timestamp(), 10 * 86_400.0)
    estimate = skill(objective_metric(REGRESSION), found.y, found.p, blocks)
    assert estimate.value == pytest.approx(2.0, abs=0.1)
    assert 0 < estimate.error < 0.2


@pytest.mark.parametrize("spec", [REGRESSION, MULTI], ids=["regression", "multiclass"])
def test_false_decays_are_rare(spec):
    """Sixty quiet windows of a week: a decay that acts is said in fewer than one in ten (the bound's level is 5 %)."""
    profile, acts = profile_of(spec), 0
    for number in range(60):
        predictions, labelled = window_of(seen(spec, 7, start=LIVE, seed=1000 + 2 * number, per_day=60), 7)
        decay = check_performance(spec, profile, predictions.window, labelled)[0]
        acts += decay.failed and decay.evidence["severity"] in ("act", "concept")
    assert acts / 60 <= 0.1
