from __future__ import annotations

import fcntl
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from include.lifecycle.clock import FixedClock
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.loading import load_model
from include.lifecycle.monitoring.compaction import CompactionResult, compact_predictions
from include.lifecycle.runtime import Runtime, build_runtime
from include.lifecycle.spec import ModelSpec
from include.serving.log_manifest import read_manifest
from include.serving.log_schema import ARMS, logged_relation, predictions_relation
from include.settings import load_settings
from tests.unit.serving.test_log_schema import START, line, segment

NOW = START + timedelta(days=1)


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    """A Runtime of which only the storage is used."""
    return build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}), FixedClock(NOW))


@pytest.fixture
def spec() -> ModelSpec:
    return load_model("flight_delay")


@pytest.fixture
def folder(runtime: Runtime, spec: ModelSpec) -> Path:
    return runtime.storage.predictions(spec.name)


def features(number: int) -> dict[str, Any]:
    return {"features": {"distance": number, "carrier": "AA", "gone": "old", "gone_number": 2}}


def requests(folder: Path, numeric: tuple[str, ...] = ("distance",), categorical: tuple[str, ...] = ("carrier",)) -> list[str]:
    with duckdb.connect() as connection:
        predictions_relation(connection, folder, numeric, categorical).create_view("predictions")
        rows = connection.sql("SELECT request_id FROM predictions ORDER BY 1").fetchall()
    return [row[0] for row in rows]


def count_rows(folder: Path) -> int:
    """Rows of all files as they are stored, without the reader's own protection: a doubled row would show."""
    named = [str(folder / "parquet" / file.name) for file in read_manifest(folder) if file.rows]
    stored = sum(duckdb.read_parquet(path).count("*").fetchall()[0][0] for path in named)
    contained = {name for file in read_manifest(folder) for name in file.segments}
    waiting = [path for path in (folder / "segments").glob("*") if path.name not in contained]
    return stored + sum(len(path.read_text().splitlines()) for path in waiting)


@pytest.fixture
def written(folder: Path) -> list[str]:
    segment(folder, "3-1-1.jsonl", *(line(number, **features(number)) for number in range(3)))
    segment(folder, "3-1-2.jsonl", *(line(number, **features(number)) for number in range(3, 5)))
    return [f"r{number}" for number in range(5)]


def test_segments_become_parquet(runtime: Runtime, spec: ModelSpec, folder: Path, written: list[str]) -> None:
    result = compact_predictions(runtime, spec, now=NOW)
    assert result == CompactionResult(segments=2, rows=5, files=1)
    assert list((folder / "segments").iterdir()) == []
    assert requests(folder) == written
    assert requests(folder, ("gone_number", "never"), ("gone",)) == written
    (file,) = read_manifest(folder)
    assert file.features == {"carrier": "VARCHAR", "distance": "DOUBLE", "gone": "VARCHAR", "gone_number": "DOUBLE"}
    assert file.event_time_min == START.isoformat(timespec="microseconds")
    assert compact_predictions(runtime, spec, now=NOW) == CompactionResult(segments=0, rows=0, files=0)


def test_the_relation_spans_parquet_and_segments(runtime: Runtime, spec: ModelSpec, folder: Path, written: list[str]) -> None:
    compact_predictions(runtime, spec, now=NOW)
    segment(folder, "4-1-3.jsonl.open", line(7))
    segment(folder, "4-1-4.jsonl", line(8, features={"distance": 2}))
    compact_predictions(runtime, spec, now=NOW)
    assert requests(folder) == [*written, "r7", "r8"]
    with duckdb.connect() as connection:
        table = predictions_relation(connection, folder, ["distance"], ["carrier"], since=START + timedelta(minutes=2)).df()
    assert sorted(table["request_id"]) == ["r2", "r3", "r4", "r7", "r8"]
    assert sorted(table["feature_distance"]) == [2, 2, 3, 4, 7]


def test_a_kill_while_segments_are_removed(runtime: Runtime, spec: ModelSpec, folder: Path, written: list[str]) -> None:
    content = (folder / "segments" / "3-1-2.jsonl").read_text()
    compact_predictions(runtime, spec, now=NOW)
    segment(folder, "3-1-2.jsonl", content)
    assert requests(folder) == written
    assert count_rows(folder) == 5
    assert compact_predictions(runtime, spec, now=NOW).rows == 0
    assert list((folder / "segments").iterdir()) == []


def test_an_open_segment_is_taken_when_its_writer_is_gone(runtime: Runtime, spec: ModelSpec, folder: Path) -> None:
    segment(folder, "3-1-1.jsonl.open", line(1), line(2)[:40])
    segment(folder, f"3-{os.getpid()}-2.jsonl.open", line(3))
    with (folder / "segments" / f"3-{os.getpid()}-2.jsonl.open").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert compact_predictions(runtime, spec, now=NOW) == CompactionResult(segments=1, rows=1, files=1)
        assert requests(folder) == ["r1", "r3"]
    assert compact_predictions(runtime, spec, now=NOW).rows == 1


def test_segments_without_a_good_line_go_too(runtime: Runtime, spec: ModelSpec, folder: Path) -> None:
    segment(folder, "3-1-1.jsonl")
    segment(folder, "3-1-2.jsonl", "torn")
    assert compact_predictions(runtime, spec, now=NOW).rows == 0
    assert list((folder / "segments").iterdir()) == []
    assert compact_predictions(runtime, spec, now=NOW).files == 0
    assert requests(folder) == []


def test_a_model_that_never_answered(runtime: Runtime, spec: ModelSpec) -> None:
    assert compact_predictions(runtime, spec, now=NOW) == CompactionResult(segments=0, rows=0, files=0)


def test_two_at_once_are_refused(runtime: Runtime, spec: ModelSpec, folder: Path, written: list[str]) -> None:
    with (folder / ".compaction.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(SourceUnavailableError, match="another compaction"):
            compact_predictions(runtime, spec, now=NOW)
    assert compact_predictions(runtime, spec, now=NOW).rows == 5


def test_class_columns_survive_and_files_from_before_they_existed_are_read(
    runtime: Runtime, spec: ModelSpec, folder: Path
) -> None:
    segment(folder, "3-1-1.jsonl", line(1))
    compact_predictions(runtime, spec, now=NOW)
    (old,) = read_manifest(folder)
    path = folder / "parquet" / old.name
    plain = duckdb.sql(f"SELECT * EXCLUDE (label, probabilities, arm, unit) FROM read_parquet('{path}')")
    plain.write_parquet(str(path.with_suffix(".new")))
    path.with_suffix(".new").replace(path)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("class_columns", "arms", "units"):
        del manifest["files"][0][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    segment(folder, "3-2-1.jsonl", line(2, prediction=1.0, unit="u1", label="late", probabilities=[0.25, 0.75]))
    compact_predictions(runtime, spec, now=NOW)
    with duckdb.connect() as connection:
        predictions_relation(connection, folder, ["distance"], ["carrier"]).create_view("predictions")
        found = connection.sql("SELECT request_id, arm, unit, label, probabilities FROM predictions ORDER BY 1").fetchall()
    assert found == [("r1", "live", None, None, None), ("r2", "live", "u1", "late", [0.25, 0.75])]


def test_a_shadow_answer_is_kept_and_left_out_of_what_served(runtime: Runtime, spec: ModelSpec, folder: Path) -> None:
    shadows = [line(1, model_version=4, arm="shadow"), line(2, arm="shadow")]  # the second: same version, same request
    segment(folder, "3-1-1.jsonl", line(1), line(2), line(3, arm="baseline"), *shadows)
    for _ in ("segments", "parquet"):
        assert requests(folder) == ["r1", "r2", "r3"]
        with duckdb.connect() as connection:
            predictions_relation(connection, folder, ["distance"], ["carrier"], arms=ARMS).create_view("predictions")
            found = connection.sql("SELECT request_id, model_version, arm FROM predictions ORDER BY ALL").fetchall()
        assert found == [("r1", 3, "live"), ("r1", 4, "shadow"), ("r2", 3, "live"), ("r2", 3, "shadow"), ("r3", 3, "baseline")]
        compact_predictions(runtime, spec, now=NOW)


def test_files_whose_rows_were_logged_earlier_are_not_opened(runtime: Runtime, spec: ModelSpec, folder: Path) -> None:
    late = (START + timedelta(hours=5)).isoformat(timespec="microseconds")
    segment(folder, "3-1-1.jsonl", line(1))
    compact_predictions(runtime, spec, now=NOW)
    (first,) = read_manifest(folder)
    segment(folder, "3-1-2.jsonl", line(2, logged_at=late))
    compact_predictions(runtime, spec, now=NOW)
    (folder / "parquet" / first.name).unlink()
    with duckdb.connect() as connection:
        logged_relation(connection, folder, START + timedelta(hours=4)).create_view("log")
        assert connection.sql("SELECT request_id FROM log").fetchall() == [("r2",)]
        with pytest.raises(duckdb.IOException):
            logged_relation(connection, folder, START).fetchall()
