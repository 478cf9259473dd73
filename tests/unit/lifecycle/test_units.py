"""Durations: what people write is read exactly, written back exactly, and refused with what is allowed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from include.lifecycle.units import Duration, PositiveDuration, format_duration, parse_duration

MILLISECONDS = st.integers(min_value=0, max_value=10**12).map(lambda ms: timedelta(milliseconds=ms))


@given(MILLISECONDS)
def test_written_durations_are_read_back(value):
    assert parse_duration(format_duration(value)) == value


@given(MILLISECONDS)
def test_the_written_form_is_short(value):
    text = format_duration(value)
    assert text == "0s" or not text.endswith("000ms")


@given(st.integers(1, 500), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_units_scale_linearly(amount, unit):
    assert parse_duration(f"{amount}{unit}") == amount * parse_duration(f"1{unit}")


@given(st.one_of(st.text(max_size=8), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers(), max_size=2)))
def test_anything_else_is_refused_with_value_error_only(value):
    try:
        parse_duration(value)
    except ValueError as problem:
        assert repr(value) in str(problem)


@pytest.mark.parametrize(
    ("text", "seconds"), [("100ms", 0.1), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("7d", 604800), ("2w", 1209600), ("0s", 0)]
)
def test_examples(text, seconds):
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["5", "5 m", "-5m", "m", "5y", "", "5m5s", "\u0665m", "1e3s"])
def test_refused(text):
    with pytest.raises(ValueError, match="write a number and a unit of ms, s, m, h, d or w, such as 24h"):
        parse_duration(text)


def test_longer_than_time_itself_is_refused():
    with pytest.raises(ValueError, match="too long; the longest is 999999999d"):
        parse_duration("99999999999999w")


def test_in_pydantic():
    adapter = TypeAdapter(Duration)
    assert adapter.dump_python(adapter.validate_python("24h"), mode="json") == "1d"
    assert adapter.json_schema()["type"] == "string"
    with pytest.raises(ValidationError, match="0s is too short; it must be longer than 0s"):
        TypeAdapter(PositiveDuration).validate_python("0s")
