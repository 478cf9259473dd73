"""Which windows are due, how labels are kept and matched, and how windows fold into standings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.monitoring.labels import labelled_predictions, mature_labels
from include.lifecycle.monitoring.predictions import microseconds, open_log
from include.lifecycle.monitoring.signals import standings
from include.lifecycle.monitoring.windows import Measured, Window, expects_news, finished_windows, is_due, look_back, neighbours
from include.lifecycle.verdicts import Outcome, Verdict
from tests.unit.lifecycle.monitoring.examples import START, as_predictions, log_lines, make_spec, make_table, write_log

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOW = datetime(2013, 8, 1, 5, tzinfo=UTC)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(60, 10**6))  # noqa: DTZ001 - made aware below
def test_windows_are_aligned_finished_and_without_gaps(at, seconds):
    now, length = at.replace(tzinfo=UTC), timedelta(seconds=seconds)
    found = finished_windows(now, length)
    assert found[-1].end <= now < found[-1].end + length
    assert all(first.end == second.start for first, second in pairwise(found))
    assert {window.length for window in found} == {length}
    assert found == finished_windows(found[-1].end, length)


WINDOW = Window(NOW - DAY, NOW)


@pytest.mark.parametrize(
    ("rows", "mature", "last", "hours", "due"),
    [
        (0, 0, None, 1, False),
        (10, 0, None, 1, True),
        (100, 0, (100, 0), 1, False),
        (103, 0, (100, 0), 1, True),
        (100, 10, (100, 0), 1, False),
        (100, 30, (100, 0), 1, True),
        (100, 10, (100, 0), 7, True),
        (100, 100, (100, 99), 7, False),
        (100, 0, (100, 100), 7, False),  # the labels' database is down: nothing is measured anew
    ],
)
def test_what_is_due(rows, mature, last, hours, due):
    before = None if last is None else Measured(1, *last, NOW)
    assert is_due(WINDOW, rows, mature, before, now=NOW + hours * HOUR, mature_after=6 * HOUR) is due


@pytest.mark.parametrize(
    ("seen_after", "now_after", "news"),
    [
        (None, 0, True),  # never measured
        (1, 24, True),  # late rows may have come
        (48, 72, False),  # rows are in, no label is mature before 5 days
        (48, 5 * 24, True),
        (5 * 24, 7 * 24, True),
        (8 * 24 - 1, 9 * 24, True),
        (8 * 24, 9 * 24, False),  # settled
    ],
)
def test_when_a_window_is_worth_reading(seen_after, now_after, news):
    versions = [] if seen_after is None else [Measured(1, 5, 5, NOW + seen_after * HOUR), Measured(1, 5, 5, NOW + 30 * DAY)]
    assert expects_news(WINDOW, versions, 6 * DAY, NOW + now_after * HOUR) is news


def test_windows_with_slow_labels_are_looked_back_on_and_read_in_parts():
    assert look_back(HOUR, DAY) == 14 + 24
    found = finished_windows(NOW, HOUR, 10)
    assert neighbours([]) == []
    assert neighbours([*found[:3], *found[5:]]) == [found[:3], found[5:]]


def test_only_known_mature_newest_labels_are_kept():
    at = [NOW - 10 * HOUR] * 3 + [NOW - HOUR, NOW - 10 * HOUR, NOW - 10 * HOUR]
    frame = pandas.DataFrame(
        {
            "key": [1, 1, 1, 2, 3, 4],
            "event_time": at,
            "label": [0, 1, 0, 1, None, True],
            "known_at": [NOW - 3 * HOUR, NOW - HOUR, NOW + HOUR, NOW, NOW, NOW],
        }
    )
    found = mature_labels(frame, NOW, microseconds(NOW - 6 * HOUR))
    event = microseconds(NOW - 10 * HOUR)
    matched = found.match(np.array(["1", "4", "2", "9", None], dtype=object), np.array([event] * 5))
    assert matched[:2].tolist() == [1.0, 1.0]
    assert np.isnan(matched[2:]).all()


def test_labels_join_on_key_and_event_time():
    frame, honest = make_table(1, per_day=50)
    predictions = as_predictions(frame, honest, days=1)
    outcomes = frame.rename(columns={"id": "key", "at": "event_time", "wet": "label"}).assign(known_at=START + DAY)
    outcomes.loc[:9, "event_time"] += timedelta(microseconds=1)
    labels = mature_labels(outcomes, START + DAY, microseconds(START + DAY))
    joined = labelled_predictions(predictions, labels)
    assert joined.coverage == pytest.approx(0.8)
    assert joined.labels.tolist() == frame["wet"][10:].tolist()


def test_the_log_is_read_by_window_and_version(tmp_path):
    frame, honest = make_table(2, per_day=50)
    frame.loc[3, "wind"] = None
    frame.loc[4, "city"] = None
    lines = log_lines(frame, honest, version=1)
    write_log(tmp_path, [*lines, *lines[:5], '{"torn'], version=1)
    write_log(tmp_path, log_lines(frame.assign(id="v2-" + frame["id"]), honest, version=2)[:20], version=2)
    with open_log(make_spec(), tmp_path, START, START + 2 * DAY) as log:
        versions, times, keys = log.identities()
        first = log.read(1, Window(START, START + DAY))
        assert (versions.size, times.size, keys.size) == (120, 120, 120)
    day = int((frame["at"] < START + DAY).sum())
    assert first.rows == day
    assert np.allclose(first.values, honest[:day])
    assert np.isnan(first.features["wind"][3])
    assert first.features["city"][4] is None
    assert first.keys.tolist() == frame["id"][:day].tolist()
    with open_log(make_spec(), tmp_path / "nothing", START, START + DAY) as log:
        assert log.identities()[0].size == 0


CONFIRM = make_spec(retraining={"confirm": {"windows": 2, "of": 3, "spanning": "24h"}}).retraining.confirm
LETTERS = {"p": Outcome.PASS, "f": Outcome.FAIL, "i": Outcome.INCONCLUSIVE}


def history(letters: str, check: str = "decay:roc_auc"):
    """Newest window first, a letter per window."""
    return [
        (
            Window(NOW - (age + 1) * DAY, NOW - age * DAY),
            [Verdict(check=check, outcome=LETTERS[letter], reason=f"{age} old", evidence={"effect": 0.1 * age})],
        )
        for age, letter in enumerate(letters)
    ]


@pytest.mark.parametrize(
    ("letters", "failing", "failed", "seen"),
    [("p", False, 0, 1), ("f", True, 1, 1), ("ifif", True, 2, 2), ("pffff", False, 2, 3), ("fppff", True, 1, 3)],
)
def test_windows_fold_into_a_standing(letters, failing, failed, seen):
    (found,) = standings(history(letters), CONFIRM)
    assert (found.failing, found.windows_failed, found.windows_seen) == (failing, failed, seen)
    assert found.kind == "decay"


def test_a_standing_spans_its_failed_windows_and_tells_the_newest():
    (found,) = standings(history("fipf"), CONFIRM)
    assert found.evidence()["spanning_seconds"] == 4 * 86400
    assert found.evidence()["reason"] == "0 old"


def test_a_gap_that_changes_its_sign_confirms_nothing():
    gaps = [0.2, -0.2, 0.1]
    windows = [
        (window, [verdicts[0].model_copy(update={"evidence": {"gap": gap}})])
        for (window, verdicts), gap in zip(history("fff", "decay:calibration_gap"), gaps, strict=True)
    ]
    (found,) = standings(windows, CONFIRM)
    assert found.windows_failed == 2


def test_inconclusive_and_foreign_checks_have_no_standing():
    assert standings(history("iii") + history("f", "report"), CONFIRM) == []


@given(st.lists(st.sampled_from("pfi"), max_size=9).map("".join), st.randoms())
def test_the_order_of_windows_does_not_matter(letters, random):
    found = history(letters)
    shuffled = random.sample(found, len(found))
    assert standings(shuffled, CONFIRM) == standings(found, CONFIRM)
