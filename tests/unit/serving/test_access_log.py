"""The access log: who asked by minute, client and status; what a full disk does; the client in the prediction log."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from include.serving.access_log import ACCESS, MOST_WAITING, AccessLog
from include.serving.api_keys import KeyRing
from include.serving.log_schema import predictions_relation
from include.serving.outputs import Predicted
from include.serving.prediction_log import Answer, PredictionLog
from tests.unit.serving.apps import InProcess
from tests.unit.serving.folders import one_row, request_body
from tests.unit.serving.test_api_keys import made

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC).timestamp()


class Clock:
    """Wall time that a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted((folder / ACCESS).glob("*")) for line in path.read_text().splitlines()]


def test_minutes_that_are_over_are_written_once(tmp_path: Path) -> None:
    clock = Clock()
    log = AccessLog(tmp_path, 3, clock=clock)
    for status in (200, 200, 401):
        log.count("billing", status)
    log.flush()
    assert not (tmp_path / ACCESS).exists()
    clock.now += 60
    log.count("", 401)
    log.flush()
    log.flush()
    told = [(line["at"], line["client"], line["status"], line["requests"]) for line in lines(tmp_path)]
    assert told == [("2026-03-01T12:00:00+00:00", "billing", 200, 2), ("2026-03-01T12:00:00+00:00", "billing", 401, 1)]
    log.flush(everything=True)
    assert [line["requests"] for line in lines(tmp_path)] == [2, 1, 1]


def test_a_disk_that_cannot_be_written_keeps_the_counts_within_bounds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    (tmp_path / ACCESS).write_text("in the way")
    log = AccessLog(tmp_path, 3, clock=clock)
    for minute in range(MOST_WAITING + 50):
        clock.now = NOON + 60 * minute
        log.count("billing", 200)
    log.flush(everything=True)
    log.flush(everything=True)
    assert caplog.text.count("cannot be written") == 1
    (tmp_path / ACCESS).unlink()
    log.flush(everything=True)
    assert len(lines(tmp_path)) == MOST_WAITING
    assert lines(tmp_path)[-1]["at"] == datetime.fromtimestamp(clock.now, UTC).isoformat()


def test_the_server_counts_predictions_and_refusals_and_logs_the_client(tmp_path: Path, onnx_folder: tuple[Path, str]) -> None:
    _, key = made(tmp_path / "keys.json")
    lab = InProcess(onnx_folder[0], keys=KeyRing(tmp_path / "keys.json", "flights"))
    clock = Clock()
    lab.app.access = AccessLog(tmp_path, 3, clock=clock)
    body = request_body(one_row())

    async def ask() -> None:
        await lab.ask("/v2/models/flights/infer", body, x_api_key=key)
        await lab.ask("/v2/models/flights/infer", body)
        await lab.ask("/v2/models/flights/infer", {"inputs": []}, x_api_key=key)
        await lab.ask("/v2/models/flights")
        await lab.ask("/v2/health/live")

    asyncio.run(ask())
    lab.app.access.flush(everything=True)
    assert [(line["client"], line["status"], line["requests"]) for line in lines(tmp_path)] == [
        ("", 401, 2),
        ("billing", 200, 1),
        ("billing", 400, 1),
    ]
    assert lab.log.answers[0].client == "billing"


def test_the_client_stands_in_the_prediction_log(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, 3, lambda rows: None)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    for name, client in (("a", "billing"), ("b", None)):
        log.append(Answer(name, 3, at, 1.0, {"x": [1.0]}, Predicted([0.5]), client=client))
    log.close()
    with duckdb.connect() as connection:
        relation = predictions_relation(connection, tmp_path, ["x"], [])
        assert sorted(relation.project("request_id, client").fetchall()) == [("a", "billing"), ("b", None)]
