"""Queries get typed literals, nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from include.lifecycle.data.sql import read_query, render_query
from include.lifecycle.errors import SourceQueryError, SpecInvalidError

START = datetime(2013, 2, 1, tzinfo=UTC)


def test_times_become_typed_utc_literals():
    local = START.astimezone(timezone(timedelta(hours=3)))
    got = render_query("SELECT * FROM t WHERE at >= :window_start - interval '1 day'", {"window_start": local}, where="q")
    assert got == "SELECT * FROM t WHERE at >= TIMESTAMP WITH TIME ZONE '2013-02-01 00:00:00+00:00' - interval '1 day'"


def test_casts_clock_times_and_percent_signs_stay():
    query = "SELECT '100%', x::text, 'at 12:30' FROM t WHERE name LIKE '%a' AND n > :least"
    assert render_query(query, {"least": 3, "unused": "x"}, where="q") == query.replace(":least", "3")


def test_text_values_are_quoted_by_the_dialect():
    got = render_query("SELECT :who", {"who": "O'Hare'; DROP TABLE t; --"}, where="q")
    assert got == "SELECT 'O''Hare''; DROP TABLE t; --'"


def test_an_unknown_parameter_is_named_with_the_nearest_one():
    with pytest.raises(SourceQueryError, match=r"binds :window_stat, allowed are :window_start; did you mean 'window_start'"):
        render_query("SELECT :window_stat", {"window_start": START}, where="model m")


def test_a_time_without_zone_is_refused():
    with pytest.raises(SourceQueryError, match="has no timezone"):
        render_query("SELECT :at", {"at": datetime(2013, 1, 1)}, where="q")  # noqa: DTZ001 - the point of the test


def test_the_file_is_read_without_its_semicolon(tmp_path: Path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "training.sql").write_text("SELECT 1 ;\n")
    assert read_query(tmp_path, "m/training.sql", model="m") == "SELECT 1"


@pytest.mark.parametrize(
    ("relative", "message"),
    [("m/trainin.sql", "did you mean 'm/training.sql'"), ("../secret.sql", "lies outside"), ("m/empty.sql", "is empty")],
)
def test_a_wrong_file_is_named(tmp_path: Path, relative: str, message: str):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "training.sql").write_text("SELECT 1")
    (tmp_path / "m" / "empty.sql").write_text(" ; ")
    with pytest.raises(SpecInvalidError, match=message):
        read_query(tmp_path, relative, model="m")
