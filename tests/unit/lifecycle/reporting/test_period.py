"""Days, weeks, months and quarters: where they begin and end, and what they are called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.errors import SettingsError
from include.lifecycle.reporting.periodic.period import KINDS, chosen_period, containing, last_finished

AT = datetime(2013, 8, 1, 15, 30, tzinfo=UTC)  # a Thursday
TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as hypothesis asks


@pytest.mark.parametrize(
    ("kind", "start", "end", "name"),
    [
        ("daily", "2013-08-01", "2013-08-02", "2013-08-01"),
        ("weekly", "2013-07-29", "2013-08-05", "2013-W31"),
        ("monthly", "2013-08-01", "2013-09-01", "2013-08"),
        ("quarterly", "2013-07-01", "2013-10-01", "2013-Q3"),
    ],
)
def test_the_period_that_holds_a_time(kind, start, end, name):
    found = containing(kind, AT)
    assert (f"{found.start:%Y-%m-%d}", f"{found.end:%Y-%m-%d}", found.name) == (start, end, name)
    assert found.page == f"report-{kind}-{name}.html"


def test_the_turn_of_the_year():
    assert last_finished("quarterly", datetime(2014, 1, 1, tzinfo=UTC)).name == "2013-Q4"
    assert last_finished("monthly", datetime(2014, 1, 1, tzinfo=UTC)).name == "2013-12"
    assert containing("weekly", datetime(2014, 12, 30, tzinfo=UTC)).name == "2015-W01"
    assert containing("daily", datetime(2014, 1, 1, 1, tzinfo=timezone(timedelta(hours=3)))).name == "2013-12-31"


@given(TIMES, st.sampled_from(KINDS))
def test_periods_follow_each_other_without_a_gap(at, kind):
    found = containing(kind, at)
    assert found.start <= at < found.end
    assert found.before.end == found.start
    assert containing(kind, found.end).before == found
    assert found.trend_start < found.start
    assert last_finished(kind, at) == found.before


def test_a_period_is_chosen_by_a_time_that_has_come():
    assert chosen_period("weekly", "", AT).name == "2013-W30"
    assert chosen_period("weekly", "2013-08-01", AT).name == "2013-W31"
    with pytest.raises(SettingsError, match="ISO 8601"):
        chosen_period("weekly", "tomorrow", AT)
    with pytest.raises(SettingsError, match="has not begun"):
        chosen_period("daily", "2013-08-02", AT)


def test_names_sort_as_time_does():
    """The oldest pages are removed by their names."""
    for kind in KINDS:
        found = [containing(kind, datetime(2013, 1, 7, tzinfo=UTC))]
        for _ in range(30):
            found.append(containing(kind, found[-1].end))
        assert [one.page for one in found] == sorted(one.page for one in found)
