"""The reports' charts and words: colours by threshold, bounded width, gaps, and numbers as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from include.lifecycle.reporting.periodic.charts import MOST_CELLS, over_time, ratio_map
from include.lifecycle.reporting.periodic.parts.performance import lost_interval
from include.lifecycle.reporting.periodic.words import goal_mood, health_mood, health_words, length, number, percent

START = datetime(2013, 7, 1, tzinfo=UTC)
HOURS = [START + timedelta(hours=hour) for hour in range(500)]


def test_lines_leave_out_what_is_not_known_and_name_each_other():
    points = [(HOURS[0], 1.0), (HOURS[24], float("nan")), (HOURS[48], 3.0)]
    title, svg = over_time("Health", "score", START, [("a", points), ("<b>", points[:1])])
    assert title == "Health"
    assert svg.count('fill="none" stroke="#1f6feb"') == 1
    assert "&lt;b&gt;" in svg
    assert "<b>" not in svg
    assert svg.endswith("</svg>")
    assert "days from 2013-07-01" in svg
    assert "<tspan" not in over_time("Alone", "", START, [("a", points)])[1]


def test_nothing_known_is_an_empty_frame():
    assert "nan" not in over_time("Health", "score", START, [("a", [])])[1].lower()


def test_a_map_is_bounded_and_shows_each_stretch_by_its_worst_window():
    values = dict.fromkeys(HOURS, 0.2)
    values[HOURS[3]] = 5.0
    _, svg = ratio_map("Drift", {"wind <x>": values, "new": {HOURS[-1]: 1.0}}, HOURS)
    cells = re.findall(r'<rect [^>]*y="(\d+)"[^>]*fill="(#\w+)"', svg)
    rows = {top: [colour for at, colour in cells if at == top] for top, _ in cells}
    first, second = rows["24"], rows["40"]
    assert len(first) == len(second) <= MOST_CELLS
    assert first[0] == "#cf222e"
    assert set(first[1:]) == {"#eaf5ea"}
    assert second[-1] == "#eaf5ea"  # at the threshold is within it
    assert set(second[:-1]) == {"#f6f8fa"}
    assert "wind &lt;x&gt;" in svg


def test_a_map_of_nothing_has_no_cells():
    assert "<rect" not in ratio_map("Drift", {}, [])[1]


def test_words():
    assert [number(None), number(0.12345), percent(0.5), percent(None)] == ["-", "0.123", "50.0%", "-"]
    spans = (30, 90, 3600, timedelta(hours=30), timedelta(days=3, hours=4), None)
    assert [length(span) for span in spans] == ["30 s", "2 min", "1 h 0 min", "30 h 0 min", "3 d 4 h", "-"]
    assert [health_words(0.81), health_words(0.8), health_words(0.59)] == ["0.81 good", "0.80 warning", "0.59 critical"]
    assert [health_mood(0.9), health_mood(0.6), health_mood(0.1), health_mood(None)] == ["good", "warning", "bad", "none"]
    assert [goal_mood(0.999, 0.999), goal_mood(0.998, 0.999), goal_mood(None, 0.9)] == ["good", "bad", "none"]


def test_the_interval_of_skill_lost_is_symmetric_about_the_estimate():
    plain = {"evidence": {"skill": 0.5, "reference_skill": 0.8, "lower": 0.2}}
    assert lost_interval("roc_auc", plain) == pytest.approx((0.375, 0.2, 0.55))
    grown = {"evidence": {"skill": 12.0, "reference_skill": 10.0, "lower": 0.1}}
    assert lost_interval("rmse", grown) == pytest.approx((0.2, 0.1, 0.3))
    assert lost_interval("roc_auc", {"evidence": {"skill": 0.5}}) is None
    assert lost_interval("roc_auc", {"evidence": {"skill": 0.5, "reference_skill": 0.0, "lower": 0.2}}) is None
