"""Label flow, traffic, business numbers and resources of one window: what each must find, and what it must leave alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas
import pytest

from include.lifecycle.errors import SourceQueryError, SourceUnavailableError
from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.labels import Labelled, arrivals_of, mature_labels
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.monitoring.outcomes.business import check_business, judge_business
from include.lifecycle.monitoring.outcomes.label_flow import LabelFlow, check_labels, flow_of, held_back
from include.lifecycle.monitoring.outcomes.outside import Outside, expected_but_silent, silent_window
from include.lifecycle.monitoring.outcomes.recent import WEEK, Recent
from include.lifecycle.monitoring.outcomes.resources import check_resources, machine_memory
from include.lifecycle.monitoring.outcomes.traffic import check_traffic, expects_traffic
from include.lifecycle.monitoring.performance import check_performance
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.statistics.null import false_alarm_level
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.examples import START, as_labelled, as_predictions, make_spec, make_table

DAY = timedelta(days=1)
LIVE = START + timedelta(days=200)
DUE = LIVE + 2 * DAY
WINDOW = Window(LIVE, LIVE + DAY)


def day(*, labels=1.0, seed=5, keyless=False):
    """One day's predictions, and the first share of them labelled."""
    frame, honest = make_table(1, start=LIVE, per_day=400, seed=seed)
    predictions, known = as_predictions(frame, honest, days=1, start=LIVE), as_labelled(frame, honest)
    some = round(labels * 400)
    if keyless:
        predictions = replace(predictions, keys=np.full(400, None, dtype=object))
    return predictions, Labelled(known.labels[:some], known.values[:some], known.times[:some], labels)


def of(verdicts):
    return {verdict.check: verdict for verdict in verdicts}


@pytest.mark.parametrize(
    ("share", "coverages", "limits", "outcome"),
    [
        (0.9, [0.95, 0.94, 0.96], {}, "pass"),
        (0.3, [0.95, 0.94, 0.96], {}, "fail"),
        (0.0, [0.95, 0.94, 0.96], {}, "fail"),
        (0.46, [0.95, 0.94, 0.96], {}, "inconclusive"),
        (0.3, [0.95, 0.94], {}, "inconclusive"),
        (0.1, [0.1, 0.11, 0.09], {}, "pass"),
        (0.3, [], {"minimum_coverage": 0.5}, "fail"),
        (0.3, [0.95, 0.94, 0.96], {"coverage_drop": 1}, "inconclusive"),
    ],
)
def test_coverage_is_held_against_what_is_usual(share, coverages, limits, outcome):
    predictions, labelled = day(labels=share)
    spec = make_spec(monitoring={"labels": limits})
    found = of(check_labels(spec, predictions, labelled, None, coverages, DUE))
    assert found["labels:coverage"].outcome == outcome
    assert set(found) == {"labels:coverage"}


def test_labels_that_are_not_due_or_cannot_come_are_inconclusive(spec):
    predictions, labelled = day(labels=0.0)
    early = of(check_labels(spec, predictions, labelled, None, [0.9] * 5, LIVE + DAY))["labels:coverage"]
    keyless = of(check_labels(spec, day(keyless=True)[0], labelled, None, [0.9] * 5, DUE))["labels:coverage"]
    assert (early.outcome, keyless.outcome) == ("inconclusive", "inconclusive")
    assert "are due at" in early.reason
    assert "key" in keyless.reason


@pytest.mark.parametrize(
    ("flow", "limits", "failing"),
    [
        (LabelFlow(1000), {}, set()),
        (LabelFlow(1000, skewed=5, conflicting=5, repeated=900, unknown=900), {}, set()),
        (LabelFlow(1000, skewed=50), {}, {"labels:clock_skew"}),
        (LabelFlow(1000, conflicting=50), {}, {"labels:conflicts"}),
        (LabelFlow(1000, unknown=900), {"max_unknown": 0.5}, {"labels:unknown"}),
        (LabelFlow(40, skewed=40), {}, set()),
        (LabelFlow(1000, unknown=None), {}, set()),
    ],
)
def test_label_rows_that_are_odd_are_told(flow, limits, failing):
    predictions, labelled = day()
    found = of(check_labels(make_spec(monitoring={"labels": limits}), predictions, labelled, flow, [], DUE))
    assert {name for name, verdict in found.items() if verdict.failed} == failing
    assert ("labels:unknown" in found) == bool(limits)
    if flow.rows == 40:
        assert found["labels:clock_skew"].outcome is Outcome.INCONCLUSIVE


def test_too_few_labels_hold_performance_back(profile):
    """The labels that did come may be the odd ones: neither decay nor its absence is believed."""
    spec = make_spec(monitoring={"minimum_labels": 50})
    predictions, labelled = day(labels=0.3)
    lacking = check_labels(spec, predictions, labelled, None, [0.95] * 4, DUE)
    decay = check_performance(spec, profile, predictions.window, labelled)
    assert any(verdict.outcome is not Outcome.INCONCLUSIVE for verdict in decay)
    held = held_back(lacking, decay)
    assert {verdict.outcome for verdict in held} == {Outcome.INCONCLUSIVE}
    assert all("have a label" in verdict.reason for verdict in held)
    assert held_back([], decay) == decay


def test_arrivals_name_each_oddity_and_corrections_are_none():
    """Corrections have a newer known_at; equal rows are repetitions; equal but for the label, a conflict."""
    at, known = datetime(2013, 5, 1, 12, tzinfo=UTC), datetime(2013, 5, 1, 20, tzinfo=UTC)
    hour = timedelta(hours=1)
    rows = [
        ("a", at, 1, known),
        ("a", at, 0, known + hour),  # a correction
        ("b", at, 1, known),
        ("b", at, 1, known),  # said twice
        ("c", at, 1, known),
        ("c", at, 0, known),  # contradicts
        ("d", at, 1, at - hour),  # known before it happened
        ("e", at, 1, known + 48 * hour),  # known in the future
        ("f", at, 1, at - timedelta(minutes=3)),  # a clock that is a little off
        (None, at, 1, known),
    ]
    frame = pandas.DataFrame(rows, columns=["key", "event_time", "label", "known_at"]).astype(object)
    found = arrivals_of(frame, datetime(2013, 5, 2, tzinfo=UTC), timedelta(minutes=5))
    assert [key for key, flag in zip(found.keys, found.skewed, strict=True) if flag] == ["d", "e"]
    assert {key for key, flag in zip(found.keys, found.conflicting, strict=True) if flag} == {"c"}
    assert [key for key, flag in zip(found.keys, found.repeated, strict=True) if flag] == ["b"]
    microsecond = round(at.timestamp() * 1e6)
    flow = flow_of(found, Window(at, at + hour), {("a", microsecond), ("b", microsecond)})
    assert flow == LabelFlow(rows=9, skewed=2, conflicting=2, repeated=1, unknown=5)
    assert flow_of(found, Window(at + hour, at + 2 * hour), set()) == LabelFlow(0)
    sliced = flow_of(found, Window(at, at + hour), None)  # a window that is too large to know who was asked
    assert sliced + flow == LabelFlow(rows=18, skewed=4, conflicting=4, repeated=2, unknown=None)
    labels = mature_labels(frame, datetime(2013, 5, 2, tzinfo=UTC), microsecond)
    assert labels.values[labels.positions["a", microsecond]] == 0
    assert arrivals_of(frame[:0], at, hour).times.size == 0


def recent(*rows, labelled=0.9):
    """The same window in the weeks before, newest first."""
    before = {Window(LIVE - n * WEEK, LIVE + DAY - n * WEEK): count for n, count in enumerate(rows, start=1)}
    return Recent(before, {window: (round(labelled * count), count) for window, count in before.items()})


@pytest.mark.parametrize(
    ("rows", "weeks", "limits", "outcome"),
    [
        (400, (400, 390, 410), {}, "pass"),
        (150, (400, 390, 410), {}, "fail"),
        (0, (400, 390, 410), {}, "fail"),
        (150, (400, 390, 100), {}, "pass"),
        (0, (400,), {}, "inconclusive"),
        (0, (), {}, "inconclusive"),
        (0, (0, 0, 0), {}, "inconclusive"),
        (10, (), {"minimum_rows": 50}, "fail"),
        (60, (), {"minimum_rows": 50}, "pass"),
        (10, (400, 400, 400), {"minimum_share": 0}, "inconclusive"),
    ],
)
def test_traffic_is_held_against_recent_weeks(rows, weeks, limits, outcome):
    spec = make_spec(monitoring={"traffic": limits})
    (verdict,) = check_traffic(spec, WINDOW, rows, recent(*weeks))
    assert (verdict.check, verdict.outcome) == ("traffic:rows", outcome)
    assert expects_traffic(spec, WINDOW, recent(*weeks)) or outcome != "fail"


def test_honest_traffic_raises_nothing():
    """Poisson traffic with a weekly shape, a year of hours: the smallest of four weeks is halved by chance next to never."""
    random, spec, failed = np.random.default_rng(1), make_spec(), 0
    hours = 24 * 7
    shape = 60 + 50 * np.sin(np.arange(hours) / 24 * 2 * np.pi)
    counts = random.poisson(np.tile(shape, 52))
    hour = timedelta(hours=1)
    for place in range(4 * hours, counts.size, 7):
        window = Window(LIVE, LIVE + hour)
        weeks = {Window(LIVE - n * WEEK, LIVE + hour - n * WEEK): int(counts[place - n * hours]) for n in range(1, 5)}
        failed += check_traffic(spec, window, int(counts[place]), Recent(weeks))[0].failed
    assert failed / ((counts.size - 4 * hours) / 7) < 0.003


def test_a_silent_window_is_a_window_of_the_champion(profile):
    spec, nothing = make_spec(), np.empty(0, dtype=np.int64)
    since = LIVE - 60 * DAY
    assert expected_but_silent(spec, [WINDOW], nothing, set(), recent(400, 400), since) == [WINDOW]
    assert expected_but_silent(spec, [WINDOW], nothing, {WINDOW}, recent(400, 400), since) == []
    assert expected_but_silent(spec, [WINDOW], nothing, set(), recent(400, 400), None) == []
    assert expected_but_silent(spec, [WINDOW], nothing, set(), recent(), since) == []
    empty = Labelled(np.empty(0), np.empty(0), nothing, 0.0)
    outside = Outside(0, recent(400, 400))
    row = measure_window(spec, profile, silent_window(3, WINDOW), empty, now=DUE, notes=[], outside=outside)
    assert (row["version"], row["rows"], row["health"]) == (3, 0, None)
    outcomes = {verdict["check"]: verdict["outcome"] for verdict in row["verdicts"]}
    assert outcomes.pop("traffic:rows") == "fail"
    assert set(outcomes.values()) == {"inconclusive"}
    assert row["measurements"]["traffic"] == {"rows": 0}


def test_recent_coverage_counts_windows_before_only():
    past = recent(400, 200, labelled=0.5)
    assert past.coverages(WINDOW, 5) == [0.5, 0.5]
    assert past.coverages(WINDOW, 1) == [0.5]
    assert past.coverages(Window(LIVE - WEEK, LIVE - WEEK + DAY), 5) == [0.5]


SALES = {"name": "sales", "query": "rain/sales.sql"}


def business(**changes):
    return make_spec(monitoring={"business": [SALES | changes]})


@pytest.mark.parametrize(
    ("value", "direction", "outcome"),
    [
        (100.0, "higher", "pass"),
        (200.0, "higher", "pass"),
        (20.0, "higher", "fail"),
        (94.0, "higher", "inconclusive"),
        (20.0, "lower", "pass"),
        (200.0, "lower", "fail"),
        (None, "higher", "inconclusive"),
    ],
)
def test_a_business_number_is_held_against_recent_weeks(value, direction, outcome):
    spec = business(direction=direction)
    verdict = judge_business(spec, spec.monitoring.business[0], value, [100, 104, 96, 101, 99, 103, 98, 100])
    assert (verdict.check, verdict.outcome) == ("business:sales", outcome)


def test_few_weeks_tell_nothing_of_business():
    spec = business()
    verdict = judge_business(spec, spec.monitoring.business[0], 1.0, [100, 99, 101])
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "3 weeks" in verdict.reason


def test_business_numbers_keep_to_the_budget():
    """Eight reference weeks of noise: fails stay at the level that their part of one false alarm per quarter leaves a window."""
    spec, random, failed = business(minimum_effect=0.0), np.random.default_rng(2), 0
    level = level_of(spec, "business")
    assert level < false_alarm_level(0.5, DAY, 1)
    for _ in range(20_000):
        *before, value = random.normal(100, 10, 9)
        failed += judge_business(spec, spec.monitoring.business[0], value, before).failed
    assert failed / 20_000 < 2 * level


def test_a_business_query_that_fails_is_inconclusive_and_hides_no_other():
    spec = make_spec(monitoring={"business": [SALES, SALES | {"name": "visits"}]})

    def ask(number, window):
        if number.name == "sales":
            raise SourceQueryError("no such column")
        return 50.0 if window == WINDOW else 100.0 + (window.start.day % 3)

    found = of(check_business(spec, WINDOW, ask))
    assert found["business:sales"].outcome is Outcome.INCONCLUSIVE
    assert "no such column" in found["business:sales"].reason
    assert found["business:visits"].failed
    assert check_business(spec, WINDOW, None) == []


def test_resources_are_held_to_their_limits():
    predictions, _ = day()
    told = {"cpu": 0.9, "memory": machine_memory() * 0.1, "error_rate": None}
    found = of(check_resources(make_spec(), predictions, told.get))
    assert {name: verdict.outcome.value for name, verdict in found.items()} == {
        "resources:cpu": "fail",
        "resources:memory": "pass",
        "resources:error_rate": "inconclusive",
    }
    own = make_spec(monitoring={"resources": {"memory_limit": 2 * 1024**2, "cpu": None, "error_rate": None}})
    assert of(check_resources(own, predictions, {"memory": 3 * 1024**2}.get))["resources:memory"].failed


def test_a_prometheus_that_is_down_is_inconclusive():
    def down(_):
        raise SourceUnavailableError("Prometheus did not answer")

    found = check_resources(make_spec(), day()[0], down)
    assert {verdict.outcome for verdict in found} == {Outcome.INCONCLUSIVE}
    assert check_resources(make_spec(), day()[0], None) == []


@pytest.mark.parametrize(("limit", "outcome"), [("1ms", "fail"), ("1s", "pass")])
def test_latency_comes_from_the_log(limit, outcome):
    spec = make_spec(monitoring={"resources": {"latency_p95": limit}})
    found = of(check_resources(spec, day()[0], None))
    assert found["resources:latency_p95"].outcome == outcome
    few = make_spec(monitoring={"minimum_rows": 10_000, "resources": {"latency_p95": limit}})
    assert of(check_resources(few, day()[0], None))["resources:latency_p95"].outcome == "inconclusive"


def test_a_window_keeps_all_its_numbers(profile):
    spec = make_spec(monitoring={"business": [SALES]})
    predictions, labelled = day()
    outside = Outside(800, recent(800, 800), LabelFlow(400, repeated=2), lambda *_: 7.0, {"cpu": 0.5}.get)
    row = measure_window(spec, profile, predictions, labelled, now=DUE, notes=[], outside=outside)
    numbers = row["measurements"]
    assert {"latency_ms_p50", "latency_ms_p95", "latency_ms_p99", "rows_per_second"} <= set(numbers)
    assert numbers["labels"] | {"label_rows": 400, "repeated": 2, "keyed_rows": 400, "labelled_rows": 400} == numbers["labels"]
    assert (numbers["traffic"], numbers["resources"], numbers["business"]) == ({"rows": 800}, {"cpu": 0.5}, {"sales": 7.0})
