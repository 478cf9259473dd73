"""Changes since the last training data: found where they are real, silent where too few rows could tell."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from include.lifecycle.data.data_profile import ColumnProfile, DataProfile
from include.lifecycle.data.schema_change import change_findings
from include.lifecycle.sections.data_checks import SchemaChangeSection
from include.lifecycle.verdicts import Outcome

WARN = SchemaChangeSection(then="warn", category_share=0.01, unit_jump=3.0)
FAIL = WARN.model_copy(update={"then": "fail"})


def profile(**columns: ColumnProfile) -> DataProfile:
    return DataProfile(run_id="r0", taken_at=datetime(2026, 1, 1, tzinfo=UTC), rows=1000, columns=columns)


def number(size: float | None) -> ColumnProfile:
    return ColumnProfile(kind="number", values=1000, size=size)


def text(**categories: int) -> ColumnProfile:
    return ColumnProfile(kind="text", values=sum(categories.values()), categories=categories)


def changed(now: DataProfile, before: DataProfile, rule: SchemaChangeSection = FAIL) -> dict[str, list[str]]:
    found = change_findings(now, before, rule)
    return {f"{one.check} {one.column or ''}".strip(): one.examples for one in found if one.outcome is Outcome.FAIL}


def test_the_first_training_has_nothing_to_compare_with():
    (told,) = change_findings(profile(a=number(1.0)), None, FAIL)
    assert (told.outcome, told.detail) == (Outcome.PASS, "no earlier training data")


def test_columns_that_came_went_or_changed_their_type():
    before = profile(a=number(1.0), b=text(x=10), note=ColumnProfile(kind="int64", values=0))
    now = profile(a=text(x=10), c=number(2.0), note=ColumnProfile(kind="string", values=0))
    assert changed(now, before) == {
        "columns_added": ["c"],
        "columns_removed": ["b"],
        "columns_retyped": ["a: number became text", "note: int64 became string"],
    }


@pytest.mark.parametrize(("size", "jumped"), [(2.99, False), (3.01, True), (1 / 2.99, False), (1 / 3.01, True), (None, False)])
def test_a_unit_jump_in_either_direction(size, jumped):
    found = changed(profile(distance=number(size)), profile(distance=number(1.0)))
    assert bool(found) is jumped


def test_categories_count_when_common_and_when_the_other_side_could_show_them():
    before = text(x=500, y=490, gone=10)
    assert changed(profile(c=text(x=500, y=480, new=20)), profile(c=before)) == {
        "categories_new c": ["new"],
        "categories_vanished c": ["gone"],
    }
    assert changed(profile(c=text(x=500, y=491, new=9)), profile(c=text(x=500, y=500))) == {}  # under 1 %
    assert changed(profile(c=text(x=90, y=9)), profile(c=before)) == {}  # 99 rows: one of `gone` was to be expected
    assert changed(profile(c=ColumnProfile(kind="text", values=5)), profile(c=before)) == {}  # too many categories to tell


def test_then_decides_between_failing_warning_and_silence():
    now, before = profile(a=number(10.0)), profile(a=number(1.0))
    assert [one.warning for one in change_findings(now, before, WARN)] == [True] * 4
    assert not any(one.warning for one in change_findings(now, before, FAIL))
    assert change_findings(now, before, WARN.model_copy(update={"then": "ignore"})) == []
