from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from include.serving.log_manifest import CompactedFile, Manifest
from include.serving.log_schema import (
    feature_column,
    feature_types,
    json_columns,
    live_segments,
    predictions_relation,
)

START = datetime(2013, 8, 1, tzinfo=UTC)
NUMERIC, CATEGORICAL = ["distance"], ["carrier"]


def line(number: int, **changes: Any) -> str:
    at = (START + timedelta(minutes=number)).isoformat(timespec="microseconds")
    row = {
        "request_id": f"r{number}",
        "row": 0,
        "model_version": 3,
        "assigned_version": None,
        "logged_at": at,
        "key": f"k{number}",
        "event_time": at,
        "prediction": 0.25,
        "latency_ms": 0.2,
        "features": {"distance": number, "carrier": "AA"},
    }
    return json.dumps(row | changes) + "\n"


def segment(folder: Path, name: str, *content: str) -> None:
    (folder / "segments").mkdir(parents=True, exist_ok=True)
    (folder / "segments" / name).write_text("".join(content))


def read(folder: Path, **bounds: datetime) -> pd.DataFrame:
    with duckdb.connect() as connection:
        return predictions_relation(connection, folder, NUMERIC, CATEGORICAL, **bounds).df().sort_values("request_id")


def test_golden_requests_of_a_serving_check_are_no_traffic(tmp_path: Path) -> None:
    golden = [line(number, request_id=f"serving-check-golden-{number}") for number in range(50)]
    through_the_gateway = line(60, request_id="serving-check-of-a-client", assigned_version=3)
    segment(tmp_path, "3-1-1.jsonl", line(1), *golden, through_the_gateway)
    assert read(tmp_path)["request_id"].tolist() == ["r1", "serving-check-of-a-client"]


def test_columns_and_types(tmp_path: Path) -> None:
    segment(tmp_path, "3-1-1.jsonl", line(1, assigned_version=4))
    table = read(tmp_path)
    assert table.columns.tolist() == [*json_columns({}), feature_column("distance"), feature_column("carrier")]
    (row,) = table.to_dict("records")
    assert row["event_time"] == pd.Timestamp(START + timedelta(minutes=1))
    assert (row["feature_distance"], row["feature_carrier"], row["assigned_version"]) == (1.0, "AA", 4)


def test_a_multiclass_line_tells_class_and_probabilities_and_other_lines_do_not(tmp_path: Path) -> None:
    segment(tmp_path, "3-1-1.jsonl", line(1, prediction=2.0, label="late", probabilities=[0.1, 0.2, 0.7]), line(2))
    told, plain = read(tmp_path).to_dict("records")
    assert (told["label"], list(told["probabilities"])) == ("late", [0.1, 0.2, 0.7])
    assert pd.isna(plain["label"])
    assert plain["probabilities"] is None or pd.isna(plain["probabilities"])


def test_an_empty_log_has_the_columns(tmp_path: Path) -> None:
    table = read(tmp_path / "none")
    assert len(table) == 0
    assert "feature_distance" in table


def test_open_segments_count_and_torn_lines_do_not(tmp_path: Path) -> None:
    segment(tmp_path, "3-1-1.jsonl", line(1), "no json\n", line(2))
    segment(tmp_path, "3-2-1.jsonl.open", line(3), line(4)[:70])
    segment(tmp_path, "3-3-1.jsonl.open")
    assert read(tmp_path)["request_id"].tolist() == ["r1", "r2", "r3"]


def test_nulls_and_features_that_a_version_did_not_have(tmp_path: Path) -> None:
    nulls = {"distance": None, "carrier": None}
    segment(tmp_path, "3-1-1.jsonl", line(1, features=nulls, key=None), line(2, features={"other": 1}), line(3, features={}))
    table = read(tmp_path)
    assert len(table) == 3
    assert table["feature_distance"].isna().all()
    assert table["feature_carrier"].isna().all()


def test_one_row_per_request_row_and_version(tmp_path: Path) -> None:
    segment(tmp_path, "3-1-1.jsonl", line(1), line(1, prediction=0.75), line(1, row=1), line(1, model_version=4))
    table = read(tmp_path)
    assert sorted(zip(table["row"], table["model_version"], strict=True)) == [(0, 3), (0, 4), (1, 3)]


def test_the_range_of_event_time_is_half_open(tmp_path: Path) -> None:
    segment(tmp_path, "3-1-1.jsonl", *map(line, range(5)))
    bounds = {"since": START + timedelta(minutes=1), "until": START + timedelta(minutes=3)}
    assert read(tmp_path, **bounds)["request_id"].tolist() == ["r1", "r2"]
    with pytest.raises(ValueError, match="no timezone"):
        read(tmp_path, since=datetime(2013, 8, 1))  # noqa: DTZ001 - the point of the test


def test_segments_that_the_manifest_names_are_skipped(tmp_path: Path) -> None:
    segment(tmp_path, "3-1-1.jsonl", line(1))
    segment(tmp_path, "3-2-1.jsonl", line(2))
    compacted = [CompactedFile("a.parquet", ["3-1-1.jsonl"], 0, None, None)]
    assert [path.name for path in live_segments(tmp_path, compacted)] == ["3-2-1.jsonl"]
    (tmp_path / "manifest.json").write_text(Manifest(compacted).text())
    assert read(tmp_path)["request_id"].tolist() == ["r2"]


def test_a_segment_renamed_while_it_is_listed_is_read_once(tmp_path: Path) -> None:
    segment(tmp_path, "3-1-1.jsonl.open", line(1))
    segment(tmp_path, "3-1-1.jsonl", line(1))
    assert [path.name for path in live_segments(tmp_path, [])] == ["3-1-1.jsonl"]


def test_a_segment_that_is_renamed_before_it_is_read_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment(tmp_path, "3-1-1.jsonl.open", line(1))
    opened = tmp_path / "segments" / "3-1-1.jsonl.open"

    def rename_once(folder: Path, compacted: list[CompactedFile]) -> list[Path]:
        found = live_segments(folder, compacted)
        if opened.exists():
            opened.rename(opened.with_suffix(""))
        return found

    monkeypatch.setattr("include.serving.log_schema.live_segments", rename_once)
    assert read(tmp_path)["request_id"].tolist() == ["r1"]


def test_names_that_look_like_sql_are_only_names(tmp_path: Path) -> None:
    odd = """we"i'rd"""
    folder = tmp_path / "it's"
    segment(folder, "3-1-1.jsonl", line(1, features={odd: 2.5}))
    with duckdb.connect() as connection:
        assert predictions_relation(connection, folder, [odd], []).df()[feature_column(odd)].tolist() == [2.5]


def test_types_follow_the_kind() -> None:
    assert feature_types(["a"], ["b"]) == {"a": "DOUBLE", "b": "VARCHAR"}
    assert json_columns({"a": "DOUBLE"})["features"] == 'STRUCT("a" DOUBLE)'
