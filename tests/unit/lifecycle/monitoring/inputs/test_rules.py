"""Rules on references, and the note on features that are made of the calendar."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.lifecycle.rules.calendar_columns import calendar_columns
from include.lifecycle.rules.inputs import RULES
from include.lifecycle.rules.view import View
from tests.unit.lifecycle.monitoring.examples import make_spec


def broken(**monitoring):
    return [
        (".".join(map(str, path)), text)
        for rule in RULES
        for path, text in rule(View("rain", {"monitoring": monitoring}, Path()))
    ]


def test_a_season_needs_its_distances_and_windows_of_the_clock():
    drift = {"numeric": "wasserstein", "categorical": "jensen_shannon"}
    assert broken(reference="seasonal", drift=drift, window_by="time") == []
    ((path, text),) = broken(reference="seasonal", drift=drift | {"numeric": "psi"}, window_by="time")
    assert (path, "psi" in text) == ("monitoring.reference", True)
    assert "hours of the week" in broken(reference="seasonal", drift=drift, window_by="count")[0][1]
    assert broken(reference="auto", drift=drift | {"numeric": "psi"}, window_by="count") == []


def test_weeks_must_hold_what_is_asked_of_them():
    assert broken(seasonal={"weeks": 3, "minimum_windows": 3}, creep={"weeks": 0, "minimum_weeks": 2}, keep_counts="21d") == []
    assert broken(seasonal={"weeks": 2, "minimum_windows": 3})[0][0] == "monitoring.seasonal.minimum_windows"
    assert broken(creep={"weeks": 1, "minimum_weeks": 2})[0][0] == "monitoring.creep.minimum_weeks"
    assert broken(seasonal={"weeks": 4, "minimum_windows": 3}, keep_counts="20d")[0][0] == "monitoring.keep_counts"


@pytest.mark.parametrize("name", ["hour", "day_of_week", "hourOfDay", "month", "is_weekend", "scheduled_hour"])
def test_names_of_the_calendar_are_noticed(name):
    assert calendar_columns(make_spec(features={"numeric": [name], "categorical": []})) == [name]


@pytest.mark.parametrize("name", ["distance", "plane_age", "days_since_visit", "visits_last_month", "timeout", "monthly_income"])
def test_lengths_and_counts_are_not(name):
    assert calendar_columns(make_spec(features={"numeric": [name], "categorical": []})) == []


def test_an_ignored_column_needs_no_note():
    plain = dict.fromkeys(type(make_spec()).model_fields["columns"].annotation.__args__[1].model_fields)
    ignored = plain | {"drift": "ignore", "pii": "keep", "outliers": "watch"}
    spec = make_spec(features={"numeric": ["hour", "wind"], "categorical": []}, columns={"hour": ignored})
    assert calendar_columns(spec) == []
