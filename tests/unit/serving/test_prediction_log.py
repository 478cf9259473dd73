from __future__ import annotations

import json
import logging
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.serving.outputs import Predicted
from include.serving.prediction_log import Answer, LogLimits, PredictionLog, unit_of
from include.serving.segment import Segment, is_abandoned
from tests.unit.serving.running import eventually

AT = datetime(2013, 8, 1, 6, 0, 0, 1234, tzinfo=UTC)


def answer(name: str = "a", **changes: Any) -> Answer:
    values: dict[str, Any] = {
        "columns": {"distance": [1.5, None], "carrier": ["AA", None]},
        "predicted": Predicted([0.25, 0.5]),
    } | changes
    return Answer(name, 2, AT, 0.3, **values)


def lines(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "segments").glob("*"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "segments").glob("*"))


@dataclass
class Kept:
    """A log with small limits, and how many rows it dropped."""

    folder: Path
    limits: LogLimits = field(default_factory=lambda: LogLimits(flush_seconds=0.02, retry_seconds=0.05, buffer_rows=100))
    dropped: list[int] = field(default_factory=list)

    def open(self) -> PredictionLog:
        return PredictionLog(self.folder, 3, self.dropped.append, self.limits)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "flights")


def test_one_line_per_row(kept: Kept) -> None:
    log = kept.open()
    log.append(answer(keys=["k1", None], event_times=[None, "2013-07-31T00:00:00.000000+00:00"]))
    log.close()
    first, second = lines(kept.folder)
    assert first == {
        "request_id": "a",
        "row": 0,
        "model_version": 3,
        "assigned_version": 2,
        "arm": "live",
        "logged_at": "2013-08-01T06:00:00.001234+00:00",
        "key": "k1",
        "event_time": "2013-08-01T06:00:00.001234+00:00",
        "prediction": 0.25,
        "latency_ms": 0.3,
        "features": {"distance": 1.5, "carrier": "AA"},
    }
    assert (second["row"], second["key"], second["event_time"]) == (1, None, "2013-07-31T00:00:00.000000+00:00")
    assert second["features"] == {"distance": None, "carrier": None}


def test_it_is_on_disk_soon_without_being_closed(kept: Kept) -> None:
    log = kept.open()
    log.append(answer())
    assert eventually(lambda: len(lines(kept.folder)) == 2, 2)
    (name,) = names(kept.folder)
    assert name.startswith(f"3-{os.getpid()}-")
    assert name.endswith(".jsonl.open")
    log.close()
    assert names(kept.folder) == [name.removesuffix(".open")]


def test_segments_end_by_size_and_by_age(kept: Kept) -> None:
    kept.limits = LogLimits(flush_seconds=0.01, segment_bytes=1000, segment_seconds=3600)
    log = kept.open()
    for number in range(4):
        log.append(answer(str(number)))
        assert eventually(lambda rows=2 * number + 2: len(lines(kept.folder)) == rows)
    log.close()
    assert len(names(kept.folder)) == 2
    kept.limits = LogLimits(flush_seconds=0.01, segment_seconds=0.1)
    log = kept.open()
    log.append(answer("late"))
    assert eventually(lambda: len(names(kept.folder)) == 3 and not any(name.endswith(".open") for name in names(kept.folder)))
    log.close()
    assert len(lines(kept.folder)) == 10
    assert kept.dropped == []


def test_nothing_is_created_without_a_request(kept: Kept) -> None:
    kept.open().close()
    assert not kept.folder.exists()


def test_an_unwritable_folder_costs_no_request_and_recovers(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.folder.mkdir(parents=True)
    (kept.folder / "segments").write_text("in the way")
    log = kept.open()
    with caplog.at_level(logging.WARNING):
        for number in range(60):
            log.append(answer(str(number)))
        assert eventually(lambda: log.failing)
        assert sum(kept.dropped) == 20
        log.append(answer("still full"))
        (kept.folder / "segments").unlink()
        assert eventually(lambda: not log.failing)
    log.append(answer("after"))
    log.close()
    assert sum(kept.dropped) == 22
    written = [line["request_id"] for line in lines(kept.folder)]
    assert written == [name for number in range(50) for name in (str(number),) * 2] + ["after"] * 2
    assert [record.message.split(": ")[0].rpartition(" ")[2] for record in caplog.records] == ["written", "again"]


@pytest.fixture
def small_files() -> Iterator[int]:
    """A real limit on the size of files that this process writes: what is beyond it fails half-way, like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = 1_000_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_half_way_leaves_whole_lines(kept: Kept, small_files: int) -> None:
    kept.limits = LogLimits(flush_seconds=0.01, retry_seconds=0.05, buffer_rows=100_000)
    log = kept.open()
    log.append(answer("first"))
    assert eventually(lambda: len(lines(kept.folder)) == 2)
    big = answer("big", columns={"carrier": ["x" * 900] * 1500}, predicted=Predicted([0.5] * 1500))
    log.append(big)
    assert eventually(lambda: log.failing)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert eventually(lambda: not log.failing)
    log.close()
    assert [line["request_id"] for line in lines(kept.folder)] == ["first"] * 2 + ["big"] * 1500
    assert kept.dropped == []


def test_rows_that_cannot_be_written_at_the_end_are_counted(kept: Kept) -> None:
    kept.folder.mkdir(parents=True)
    (kept.folder / "segments").write_text("in the way")
    log = kept.open()
    log.append(answer())
    log.close()
    assert kept.dropped == [2]


def test_a_removed_segment_is_started_anew(kept: Kept) -> None:
    log = kept.open()
    log.append(answer("before"))
    assert eventually(lambda: len(lines(kept.folder)) == 2)
    for path in (kept.folder / "segments").glob("*"):
        path.unlink()
    log.append(answer("after"))
    log.close()
    assert [line["request_id"] for line in lines(kept.folder)] == ["after"] * 2


def test_a_value_that_cannot_be_written_does_not_stop_the_log(kept: Kept) -> None:
    log = kept.open()
    log.append(answer("odd", columns={"carrier": [object(), None]}))
    assert eventually(lambda: kept.dropped == [2])
    log.append(answer("good"))
    log.close()
    assert [line["request_id"] for line in lines(kept.folder)] == ["good"] * 2


def test_an_open_segment_is_abandoned_when_its_writer_is_gone(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path, 3)
    assert not is_abandoned(segment.path)
    segment.abandon()
    assert is_abandoned(segment.path)


def test_a_sticky_key_is_kept_as_its_hash(kept: Kept) -> None:
    log = kept.open()
    log.append(answer(unit=unit_of("user-1")))
    log.close()
    assert {one["unit"] for one in lines(kept.folder)} == {"c6c289e49e9c05b214586038"}
