"""Floors, the ladder, the calibration gap's usual spread: three-valued, with rates by simulation; and their YAML's edges."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from include.lifecycle.evaluation.metrics import metrics_at
from include.lifecycle.monitoring.calibration import CALIBRATION, check_calibration
from include.lifecycle.monitoring.floors import check_floors
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.performance import check_performance, performance_numbers, rung_of
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.monitoring.skill import time_blocks
from include.lifecycle.rules.outcomes import RULES
from include.lifecycle.rules.view import View
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, as_labelled, make_spec, make_table

LIVE = START + timedelta(days=200)
DAY = 86_400.0


def labelled(**changes) -> Labelled:
    frame, honest = make_table(8, start=LIVE, per_day=300, seed=31, **changes)
    return as_labelled(frame, honest)


def blocks_of(found: Labelled, days: int = 8) -> np.ndarray:
    return time_blocks(found.times / 1e6, LIVE.timestamp(), days * DAY)


@pytest.mark.parametrize(
    ("floors", "outcome"),
    [
        ({"accuracy": 0.5}, Outcome.PASS),
        ({"accuracy": 0.95}, Outcome.FAIL),
        ({"brier_score": 0.5}, Outcome.PASS),
        ({"brier_score": 0.01}, Outcome.FAIL),
    ],
)
def test_a_floor_is_judged_by_the_whole_interval(floors, outcome):
    found = labelled()
    (verdict,) = check_floors(make_spec(monitoring={"performance": {"floors": floors}}), found, blocks_of(found))
    name = next(iter(floors))
    assert (verdict.check, verdict.outcome) == (f"decay:floor_{name}", outcome)
    assert verdict.evidence["value"] == pytest.approx(metrics_at(0.5)[name].score(found.labels, found.values))
    assert (verdict.evidence["lower"] > 0) == (outcome is Outcome.FAIL)


def test_a_floor_near_the_value_is_inconclusive():
    found = labelled()
    value = metrics_at(0.5)["accuracy"].score(found.labels, found.values)
    spec = make_spec(monitoring={"performance": {"floors": {"accuracy": value + 1e-4}}})
    (verdict,) = check_floors(spec, found, blocks_of(found))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "not clearly within" in verdict.reason


def test_floors_need_labels_blocks_and_a_defined_metric(profile):
    spec = make_spec(monitoring={"performance": {"floors": {"accuracy": 0.5, "precision": 0.5}}})
    found = labelled()
    few = Labelled(found.labels[:20], found.values[:20], found.times[:20], 1.0)
    window = type("W", (), {"start": LIVE, "length": timedelta(days=8)})()
    causes = {verdict.check: verdict.outcome for verdict in check_performance(spec, profile, window, few)}
    assert causes["decay:floor_accuracy"] == causes["decay:floor_precision"] == Outcome.INCONCLUSIVE
    never = Labelled(found.labels, np.zeros_like(found.values), found.times, 1.0)
    undefined = check_floors(spec, never, blocks_of(never))[1]
    assert (undefined.outcome, "value" in undefined.evidence) == (Outcome.INCONCLUSIVE, False)
    assert check_floors(spec, few, np.zeros(20, dtype=np.intp))[0].outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("lower", "expected"),
    [
        (0.005, (None, None)),
        (0.015, ("notice", "warn")),
        (0.03, ("warn", "warn")),
        (0.07, ("act", "act")),
        (0.15, ("concept", "concept")),
        (0.3, ("rollback", "concept")),
    ],
)
def test_the_ladder_of_the_documents(spec, lower, expected):
    assert rung_of(lower, spec.monitoring.performance) == expected


def test_every_metric_of_the_task_is_among_the_numbers(spec):
    numbers = performance_numbers(spec, labelled())
    wanted = {"accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier_score", "calibration_error", "action_rate"}
    assert wanted <= set(numbers)
    assert all(np.isfinite(value) for value in numbers.values())


def noisy_days(random: np.random.Generator, days: int, per_day: int, deviation: float) -> tuple[np.ndarray, ...]:
    """Labels whose rate differs from day to day, correlated by one half, around predictions that are right over the year."""
    shift = np.zeros(days)
    for day in range(days):
        past = shift[day - 1] if day else 0.0
        shift[day] = 0.5 * past + random.normal(0, deviation * np.sqrt(0.75))
    chance = np.clip(0.3 + np.repeat(shift, per_day), 0.02, 0.98)
    labels = (random.uniform(size=days * per_day) < chance).astype(np.float64)
    times = np.repeat(np.arange(days) * DAY, per_day) + np.tile(np.linspace(0, DAY - 1, per_day), days)
    return labels, np.full(labels.size, 0.3), times


def share_of_failures(profile: Profile, spread: float, deviation: float = 0.0, drift: float = 0.0) -> float:
    """Share of 300 daily windows that fail, by a spread of `deviation` in the reference."""
    spec = make_spec(monitoring={"performance": {"calibration_spread": spread}})
    reference = profile.performance.model_copy(update={"gap_deviations": {"": deviation}})
    labels, values, times = noisy_days(np.random.default_rng(8), 300, 200, 0.12)
    failed = 0
    for day in range(300):
        rows = slice(day * 200, (day + 1) * 200)
        one = Labelled(labels[rows], values[rows] + drift, (times[rows] * 1e6).astype(np.int64), 1.0)
        failed += check_calibration(spec, reference, one, time_blocks(times[rows], day * DAY, DAY)).failed
    return failed / 300


def test_days_that_differ_by_nature_are_no_decay_and_a_gap_beyond_them_is(profile):
    without, with_spread = share_of_failures(profile, 0.0), share_of_failures(profile, 2.0, 0.12)
    assert without > 0.3
    assert with_spread < 0.1
    assert share_of_failures(profile, 2.0, 0.12, drift=0.35) > 0.8


def test_a_profile_from_before_is_judged_as_before(spec, profile):
    older = profile.performance.model_copy(update={"gap_deviations": {}})
    found = labelled(rate_shift=-1.5)
    verdict = check_calibration(spec, older, found, blocks_of(found))
    assert (verdict.check, verdict.failed, verdict.evidence["usual"]) == (CALIBRATION, True, 0.0)


def test_registration_keeps_how_gaps_differ_between_holdout_windows(profile):
    """220 rows a day at a rate of a third: chance alone gives 0.03."""
    assert profile.performance.gap_deviations[""] == pytest.approx(np.sqrt(0.16 / 220), rel=0.4)


def broken(monitoring, tmp_path, **more):
    view = View("rain", {"monitoring": monitoring, "objective": {"task": "binary_classification"}, **more}, tmp_path)
    return [(".".join(map(str, path)), text) for rule in RULES for path, text in rule(view)]


def test_the_yaml_is_held_to_its_rules(tmp_path):
    (tmp_path / "good.sql").write_text("SELECT 1 AS value WHERE :window_start < :window_end")
    (tmp_path / "bad.sql").write_text("SELECT 1 AS value")
    good = {"name": "sales", "query": "good.sql"}
    assert broken({"business": [good]}, tmp_path, data={"query": "x.sql"}) == []
    cases = [
        ({"performance": {"warn": 0.2, "act": 0.1}}, "monitoring.performance.act", "must rise"),
        ({"performance": {"floors": {"acuracy": 0.8}}}, "monitoring.performance.floors.acuracy", "did you mean 'accuracy'"),
        ({"business": [good, good]}, "monitoring.business.0.name", "each name once"),
        ({"business": [good | {"query": "none.sql"}]}, "monitoring.business.0.query", "no such file"),
        ({"business": [good | {"query": "../good.sql"}]}, "monitoring.business.0.query", "below include/sql"),
        ({"business": [good | {"query": "bad.sql"}]}, "monitoring.business.0.query", "beyond its window"),
        ({"business": [good | {"weeks": 3, "minimum_weeks": 4}]}, "monitoring.business.0.minimum_weeks", "at most weeks"),
    ]
    for monitoring, path, words in cases:
        found = broken(monitoring, tmp_path, data={"query": "x.sql"})
        assert any(where == path and words in text for where, text in found), (monitoring, found)
    assert "data.connection" in broken({"business": [good]}, tmp_path)[0][1]


EDGES = [
    ("performance.notice", -0.1, 0.0),
    ("performance.rollback", 1.1, 1.0),
    ("performance.calibration_spread", -1, 0.0),
    ("performance.estimate.rows", 99, 100),
    ("labels.minimum_coverage", 1.01, 1.0),
    ("labels.coverage_drop", -0.01, 1.0),
    ("labels.windows", 2, 3),
    ("labels.clock_skew", "-1m", "0s"),
    ("labels.max_skewed", 1.5, 1.0),
    ("labels.max_conflicting", -1, 0.0),
    ("labels.max_unknown", 2.0, 0.0),
    ("traffic.minimum_rows", -1, 0),
    ("traffic.minimum_share", 1.1, 0.0),
    ("traffic.weeks", 27, 26),
    ("resources.cpu", 0.0, None),
    ("resources.memory", 1.1, 1.0),
    ("resources.memory_limit", 1000, 1_048_576),
    ("resources.error_rate", 1.1, 0.0),
    ("resources.latency_p95", "0s", "1ms"),
    ("business", [{"name": "sales", "query": "sales.txt"}], [{"name": "sales", "query": "sales.sql"}]),
    ("business", [{"name": "s", "query": "s.sql", "weeks": 2}], [{"name": "sales", "query": "s.sql", "weeks": 52}]),
    ("business", [{"name": "sales", "query": "s.sql", "direction": "up"}], []),
]


@pytest.mark.parametrize(("key", "wrong", "right"), EDGES, ids=lambda value: str(value)[:30])
def test_each_key_has_its_edges(key, wrong, right):
    def monitoring(value):
        for part in reversed(key.split(".")):
            value = {part: value}
        return value

    make_spec(monitoring=monitoring(right))
    with pytest.raises(ValidationError):
        make_spec(monitoring=monitoring(wrong))
