"""A real model server under load, killed with SIGKILL at random moments: what clients got beside what the log holds."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest

from include.lifecycle.clock import SystemClock
from include.lifecycle.loading import load_model
from include.lifecycle.monitoring.compaction import compact_predictions
from include.lifecycle.runtime import Runtime
from include.serving.log_manifest import load_manifest
from include.serving.log_schema import predictions_relation
from tests.unit.serving.folders import build_folder, one_row, request_body
from tests.unit.serving.running import running_server

pytestmark = pytest.mark.integration
FLUSH = 0.2  # seconds, as the server is told
SLACK = 0.3  # of a machine that other work shares: the writer's own turn
KILLS, CLIENTS = 5, 4


@dataclass
class Clients:
    """Threads that post single rows without pause. `again`: requests without an answer, sent once more under their ids first."""

    port: int
    name: str
    again: list[str]
    got: dict[str, float] = field(default_factory=dict)
    unanswered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._body = json.dumps(request_body(one_row())).encode()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=20)

    def _run(self, client: int) -> None:
        connection, number = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10), 0
        while not self._stop.is_set():
            request_id = self._next(client, number)
            try:
                connection.request("POST", "/v2/models/flights/infer", self._body, {"x-request-id": request_id})
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                self.unanswered.append(request_id)
                return
            assert response.status == 200
            self.got[request_id] = time.monotonic()
            number += 1

    def _next(self, client: int, number: int) -> str:
        try:
            return self.again.pop()
        except IndexError:
            return f"{self.name}-{client}-{number}"


def logged(folder: Path) -> Counter[str]:
    with duckdb.connect() as connection:
        predictions_relation(connection, folder, ["distance"], ["carrier"]).create_view("log")
        return Counter(row[0] for row in connection.sql("SELECT request_id FROM log").fetchall())


def stored(folder: Path) -> Counter[str]:
    """Requests in the Parquet files as they are: a request that two servers answered stands there twice."""
    found: Counter[str] = Counter()
    for file in load_manifest(folder).files:
        path = str(folder / "parquet" / file.name)
        found.update(row[0] for row in duckdb.read_parquet(path).project("request_id").fetchall())
    return found


def test_a_kill_loses_at_most_the_flush_window_and_doubles_nothing(make_runtime: Callable[..., Runtime], tmp_path: Path) -> None:
    rt, spec, moments = make_runtime(SystemClock()), load_model("flight_delay"), random.Random(4)
    folder, version = rt.storage.predictions(spec.name), tmp_path / "3"
    digest = build_folder(version)
    got: dict[str, float] = {}
    lost: list[float] = []
    again: list[str] = []
    retried: set[str] = set()
    for kill in range(KILLS):
        with running_server(version, digest, folder, "--log-flush-seconds", str(FLUSH)) as server:
            clients = Clients(int(server.client.base_url.port or 0), f"kill{kill}", again)
            time.sleep(moments.uniform(0.3, 1.2))
            killed_at = time.monotonic()
            server.process.kill()
            server.process.wait(timeout=10)
            clients.end()
        answered, held = clients.got, logged(folder)
        missing = {name: killed_at - at for name, at in answered.items() if name not in held}
        assert len(answered) > 10
        assert all(age <= FLUSH + SLACK for age in missing.values()), f"lost after kill {kill}: {missing}"
        lost += missing.values()
        got |= answered
        again = clients.unanswered
        retried |= set(again)
        if kill % 2:
            compact_predictions(rt, spec, now=rt.clock.now())
            assert logged(folder) == held
    compact_predictions(rt, spec, now=rt.clock.now())
    assert list((folder / "segments").glob("*")) == []
    held = logged(folder)
    assert set(held.values()) == {1}
    assert {name for name, times in stored(folder).items() if times > 1} <= retried
    assert len(got.keys() - held.keys()) == len(lost)
    assert held.keys() - got.keys() <= retried, "rows whose answer the kill cut off"
    assert 0 < len(lost) < len(got), "a kill under load catches rows that wait for their write"
