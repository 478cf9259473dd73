"""Bad rows are set aside with their reasons, counted, and in no later stage; reruns give the same files."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lifecycle.data.quarantine import QUARANTINE_FILE, REASONS, BadRows, separate
from include.lifecycle.data.table_file import TableFile
from include.lifecycle.errors import DataInvalidError
from tests.unit.lifecycle.data.test_preparation import START
from tests.unit.lifecycle.data.test_validation import good, validate


def spoiled(rows: int = 400) -> pd.DataFrame:
    """Five bad rows: 0 without key, 1 before the window, 2 without target, 3 with another target, 4 without a time."""
    frame = good(rows)
    frame["late"] = frame["late"].astype("Int64")
    frame.loc[0, "trip_id"] = None
    frame.loc[1, "starts_at"] = START - timedelta(days=1)
    frame.loc[2, "late"] = None
    frame.loc[3, "late"] = 7
    frame.loc[4, "starts_at"] = pd.NaT
    return frame


def test_bad_rows_go_to_quarantine_with_their_reasons(tmp_path: Path):
    result = validate(tmp_path, spoiled(), quarantine={"max_share": 5 / 400})
    assert result.verdict.passed
    assert (result.quarantined, result.clean.rows) == (5, 395)
    assert result.quarantine is not None
    apart = pd.read_parquet(result.quarantine)
    assert apart[REASONS].tolist() == [
        "key_not_null(trip_id)",
        "event_time_in_window(starts_at)",
        "target_not_null(late)",
        "target_is_0_or_1(late)",
        "event_time_not_null(starts_at)",
    ]
    assert result.reasons == dict.fromkeys(apart[REASONS], 1)
    clean = pd.read_parquet(result.clean.path)
    assert clean["trip_id"].tolist() == [f"T{number}" for number in range(5, 400)]
    assert result.verdict.evidence["quarantined"] == result.reasons
    page = result.page.read_text()
    assert "400 rows fetched, 5 in quarantine, 395 clean" in page
    assert "target_is_0_or_1(late)" in page


def test_the_share_decides_with_numbers_and_the_files_are_kept(tmp_path: Path):
    with pytest.raises(DataInvalidError, match=r"quarantine_share: 5 of 400 rows; 1\.25% of the rows, .*max_share is 1\.00%"):
        validate(tmp_path, spoiled())
    folder = tmp_path / "data/artifacts/trips/r1/validate_data"
    assert len(pd.read_parquet(folder / QUARANTINE_FILE)) == 5
    assert json.loads((folder / "validation.json").read_text())["quarantine"]["target_not_null(late)"] == 1


def test_a_rerun_gives_the_same_bytes(tmp_path: Path):
    first = validate(tmp_path, spoiled(), quarantine={"max_share": 0.1})
    files = [first.clean.path, first.quarantine, first.report, first.page]
    before = [path.read_bytes() for path in files if path]
    again = validate(tmp_path, spoiled(), quarantine={"max_share": 0.1})
    assert again == first
    assert [path.read_bytes() for path in files if path] == before


def test_good_rows_are_handed_on_as_they_were_fetched(tmp_path: Path):
    result = validate(tmp_path, good())
    assert result.clean.path == tmp_path / "data.parquet"
    assert (result.quarantine, result.quarantined, result.clean.rows) == (None, 0, 400)


def test_text_becomes_numbers_and_what_is_none_goes_to_quarantine(tmp_path: Path):
    frame = good()
    frame["distance"] = frame["distance"].astype(str)
    frame.loc[7, "distance"] = "n/a"
    frame.loc[8, "distance"] = None
    result = validate(tmp_path, frame)
    assert result.reasons == {"is_a_number(distance)": 1}
    clean = pd.read_parquet(result.clean.path)
    assert clean["distance"].dtype == np.float64
    assert clean["distance"].isna().sum() == 1
    assert clean["distance"].dropna().tolist() == [float(n) for n in range(400) if n not in (7, 8)]


def test_rows_that_mostly_allows_are_set_aside_but_nulls_are_not(tmp_path: Path):
    frame = good()
    frame.loc[[10, 20], "distance"] = -1.0
    frame.loc[30:60, "wind"] = np.nan
    rules = [
        {"expect_column_values_to_be_between": {"column": "distance", "min_value": 0, "mostly": 0.99}},
        {"expect_column_values_to_not_be_null": {"column": "wind", "mostly": 0.5}},
    ]
    result = validate(tmp_path, frame, expectations=rules)
    assert result.reasons == {"expect_column_values_to_be_between(distance)": 2}
    assert result.quarantine is not None
    assert pd.read_parquet(result.quarantine)["trip_id"].tolist() == ["T10", "T20"]
    assert (pd.read_parquet(result.clean.path)["distance"] >= 0).all()


def test_expectations_see_only_rows_that_are_not_set_aside_yet(tmp_path: Path):
    frame = spoiled()
    frame.loc[5, "distance"] = -1.0
    rules = [
        {"expect_column_values_to_be_in_set": {"column": "late", "value_set": [0, 1]}},
        {"expect_column_values_to_be_between": {"column": "distance", "min_value": 0, "mostly": 0.99}},
        {"expect_table_row_count_to_equal": {"value": 395}},
    ]
    result = validate(tmp_path, frame, expectations=rules, quarantine={"max_share": 0.1})
    assert result.verdict.passed
    assert result.quarantined == 6
    assert "T5" not in set(pd.read_parquet(result.clean.path)["trip_id"])


def test_extreme_outliers_are_set_aside_only_where_the_model_says_so(tmp_path: Path):
    frame = good()
    frame.loc[50, "distance"] = 1e9
    assert validate(tmp_path, frame).quarantined == 0
    result = validate(tmp_path, frame, outliers={"quarantine_beyond": 100.0})
    assert result.reasons == {"outlier(distance)": 1}
    assert pd.read_parquet(result.clean.path)["distance"].max() < 1e6


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_clean_and_quarantined_rows_are_all_rows_once(tmp_path_factory: pytest.TempPathFactory, marks: list[tuple[bool, bool]]):
    folder = tmp_path_factory.mktemp("separate")
    pd.DataFrame({"n": range(len(marks))}).to_parquet(folder / "data.parquet")
    table = TableFile(folder / "data.parquet")
    bad = BadRows(table.rows)
    for place, reason in enumerate(("first", "second")):
        bad.add(reason, np.array([mark[place] for mark in marks]))
    clean = pq.read_table(separate(table, bad, folder, [])).column("n").to_pylist()
    apart = pq.read_table(folder / QUARANTINE_FILE).to_pylist() if bad.count else []
    assert sorted([*clean, *(row["n"] for row in apart)]) == list(range(len(marks)))
    for row in apart:
        one, two = marks[row["n"]]
        assert row[REASONS] == "; ".join(["first"] * one + ["second"] * two)
