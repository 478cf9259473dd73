"""Schema checks and declared expectations on real files; failures say what, how often, and for example which value."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.lifecycle.clock import FixedClock
from include.lifecycle.data.expectations import build_expectations
from include.lifecycle.data.fetch import WINDOW_END, WINDOW_START
from include.lifecycle.data.validation import accepted, judge_data
from include.lifecycle.errors import DataInvalidError, SpecInvalidError
from include.lifecycle.results import FetchedData, ValidatedData
from include.lifecycle.runtime import RunContext, build_runtime
from include.lifecycle.verdicts import Outcome
from include.settings import load_settings
from tests.unit.lifecycle.data.test_preparation import START, trips

BETWEEN = {"expect_column_values_to_be_between": {"column": "distance", "min_value": 0, "max_value": 6000}}
HOURS = {"name": "expect_column_values_to_be_in_set", "column": "hour", "value_set": [str(hour) for hour in range(24)]}
MEAN = {"type": "expect_column_mean_to_be_between", "column": "distance", "min_value": 10}


def validate(
    tmp_path: Path, frame: pd.DataFrame, end: datetime | None = None, run: str = "r1", columns: Any = None, **data: Any
) -> ValidatedData:
    from tests.unit.lifecycle.training.spec_for_tests import make_spec

    rt = build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}), FixedClock(START + timedelta(hours=int(run[1:]))))
    table = pa.Table.from_pandas(frame)
    last = end or START + timedelta(days=120)
    window = {WINDOW_START: START.isoformat().encode(), WINDOW_END: last.isoformat().encode()}
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), **window}), tmp_path / "data.parquet")
    fetched = FetchedData(path=tmp_path / "data.parquet", rows=len(frame), rows_in_window=1, columns=list(frame), seconds=0)
    spec = make_spec(data={"minimum_rows": 100, **data}, columns=columns or {})
    context = RunContext("trips", run, "validate_data")
    return accepted(spec, rt, context, judge_data(spec, rt, context, fetched))


def good(rows: int = 400) -> pd.DataFrame:
    return trips(rows).assign(carrier="C1", wind=3.0)


def test_good_data_passes_and_is_reported(tmp_path: Path):
    result = validate(tmp_path, good(), expectations=[BETWEEN, HOURS, MEAN])
    report = json.loads(result.report.read_text())
    assert result.verdict.passed
    assert result.expectations == len(report["checks"])
    assert report["success"] is True
    assert {"columns_exist", "key_unique", "missing_values", "outliers", "quarantine_share"} < {
        check["check"] for check in report["checks"]
    }


def test_every_failed_expectation_is_listed_with_counts_and_examples(tmp_path: Path):
    frame = good().assign(distance=-5.0, hour="25")
    with pytest.raises(DataInvalidError) as caught:
        validate(tmp_path, frame, expectations=[BETWEEN, HOURS, MEAN])
    message = str(caught.value)
    assert re.search(r": 3 of \d+ data checks failed", message)
    assert "expect_column_values_to_be_between(distance): 400 of 400 rows; such as -5.0" in message
    assert "expect_column_values_to_be_in_set(hour): 400 of 400 rows; such as '25'" in message
    assert "observed -5.0" in message
    report = json.loads((tmp_path / "data/artifacts/trips/r1/validate_data/validation.json").read_text())
    assert [check["success"] for check in report["checks"]].count(False) == 3


def test_an_expectation_on_a_column_that_is_not_there_fails_with_its_reason(tmp_path: Path):
    with pytest.raises(DataInvalidError, match=r"expect_column_values_to_not_be_null\(distnace\): could not be run.*distnace"):
        validate(tmp_path, good(), expectations=[{"expect_column_values_to_not_be_null": {"column": "distnace"}}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": "wind"}, r"columns_exist: such as 'wind'"),
        ({"trip_id": "T1"}, r"key_unique\(trip_id\): 400 of 400 rows; such as 'T1'"),
        ({"trip_id": None}, r"quarantine_share: 400 of 400 rows; 100.00% of the rows.*: key_not_null\(trip_id\) 400"),
        ({"late": 2}, r"quarantine_share: .*target_is_0_or_1\(late\) 400"),
        ({"late": None}, r"quarantine_share: .*target_not_null\(late\) 400"),
        ({"starts_at": datetime(2012, 1, 1, tzinfo=UTC)}, r"quarantine_share: .*event_time_in_window\(starts_at\) 400"),
        ({"head": 99}, r"row_count: 99 rows, data.minimum_rows is 100"),
    ],
)
def test_the_schema_is_checked_always(tmp_path: Path, change: dict[str, Any], message: str):
    frame = good()
    if "drop" in change:
        frame = frame.drop(columns=change["drop"])
    elif "head" in change:
        frame = frame.head(change["head"])
    else:
        frame = frame.assign(**change)
        if "starts_at" in change:
            frame["starts_at"] = pd.to_datetime(frame["starts_at"]).dt.as_unit("us")
    with pytest.raises(DataInvalidError, match=message):
        validate(tmp_path, frame)


def test_the_window_ends_before_its_end(tmp_path: Path):
    last = START + timedelta(hours=6 * 399)
    result = validate(tmp_path, good(), end=last)
    assert result.reasons == {"event_time_in_window(starts_at)": 1}
    assert result.clean.rows == 399


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"expect_column_values_to_be_betwen": {"column": "x"}}, "did you mean 'expect_column_values_to_be_between'"),
        ({"expect_column_values_to_be_between": {"colum": "x"}}, r"has no argument 'colum'; did you mean 'column'.*allowed: "),
        ({"expect_column_values_to_be_between": {"min_value": 1}}, "needs the argument 'column'"),
        ({"expect_column_values_to_be_between": {"column": "x"}}, "min_value and max_value cannot both be None"),
        ({"expect_column_values_to_be_between": "x"}, "takes named arguments"),
        ({"a": {}, "b": {}}, "one expectation per item, got a, b"),
    ],
)
def test_wrong_expectations_are_explained(declared: dict[str, Any], message: str):
    from tests.unit.lifecycle.training.spec_for_tests import make_spec

    with pytest.raises(SpecInvalidError, match=rf"model trips: data\.expectations\[0\]: .*{message}"):
        build_expectations(make_spec(data={"expectations": [declared]}))


def test_too_few_rows_are_inconclusive_and_the_policy_says_what_then(tmp_path: Path):
    with pytest.raises(DataInvalidError, match=r"1 of \d+ data checks could not tell: row_count: 99 rows"):
        validate(tmp_path, good(99))
    result = validate(tmp_path, good(99), on_inconclusive="train")
    assert result.verdict.outcome is Outcome.INCONCLUSIVE
    assert result.clean.rows == 99


def test_missing_values_have_a_limit_of_their_own_per_column(tmp_path: Path):
    frame = good()
    frame.loc[:99, "wind"] = float("nan")
    frame.loc[100:149, "wind"] = float("inf")
    frame.loc[:19, "carrier"] = None
    assert validate(tmp_path, frame).verdict.passed
    with pytest.raises(DataInvalidError, match=r"missing_values\(wind\): 150 of 400 rows; 37\.50% missing, allowed 30\.00%"):
        validate(tmp_path, frame, missing={"max_share": 0.3})
    own = {"carrier": {"drift": "watch", "role": None, "method": None, "pii": "keep", "outliers": "watch", "max_missing": 0.04}}
    with pytest.raises(DataInvalidError, match=r"missing_values\(carrier\): 20 of 400 rows; 5\.00% missing, allowed 4\.00%"):
        validate(tmp_path, frame, columns=own)


def test_outliers_beyond_their_share_fail_unless_the_column_is_ignored(tmp_path: Path):
    frame = good()
    frame["wind"] = 3.0 + (frame.index % 10) * 0.1
    frame.loc[:59, "wind"] = 900.0
    strict = {"max_share": 0.1}
    with pytest.raises(DataInvalidError, match=r"outliers\(wind\): 60 of 400 rows; such as 900\.0.*allowed 10\.00%"):
        validate(tmp_path, frame, outliers=strict)
    ignored = {"wind": {"drift": "watch", "role": None, "method": None, "pii": "keep", "outliers": "ignore", "max_missing": None}}
    assert validate(tmp_path, frame, outliers=strict, columns=ignored).verdict.passed
    assert validate(tmp_path, frame, outliers={**strict, "method": "none"}).verdict.passed


def test_a_changed_unit_warns_or_fails_and_a_rerun_says_the_same(tmp_path: Path):
    validate(tmp_path, good(), run="r1")
    metres = good().assign(distance=lambda rows: rows["distance"] * 1000)
    warned = validate(tmp_path, metres, run="r2")
    assert warned.verdict.passed
    assert "1 warned: unit_same(distance)" in warned.verdict.reason
    again = validate(tmp_path, metres, run="r2")
    assert again.verdict == warned.verdict
    with pytest.raises(DataInvalidError, match=r"unit_same\(distance\): such as '0\.001'.*since the data of run r2"):
        validate(tmp_path, good(), run="r3", schema_change={"then": "fail"})
    later = validate(tmp_path, metres, run="r4", schema_change={"then": "fail"})  # data that failed is nothing to compare with
    assert later.verdict.passed
