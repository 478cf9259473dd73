"""Several workers on one port: metrics and log add up, a dead worker is replaced and not forgotten, none outlives its parent."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from include.serving.version_folder import write_manifest
from tests.integration.test_serving_limits import BODY, INFER, OWN, half_a_request, refuses
from tests.integration.test_serving_server import logged, refused
from tests.unit.serving.folders import build_folder
from tests.unit.serving.running import RunningServer, eventually, running_server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("onnx") / "3"
    return folder, build_folder(folder)


@pytest.fixture
def pair(onnx: tuple[Path, str], tmp_path: Path) -> Iterator[RunningServer]:
    """A server of two workers, both up."""
    with running_server(*onnx, tmp_path / "log", "--workers", "2", "--drain-notice", "0.2") as server:
        assert eventually(lambda: server.metric(f"model_workers{{{OWN}}}") == 2, 40)
        yield server


def workers(server: RunningServer) -> list[int]:
    return sorted(child.pid for child in psutil.Process(server.process.pid).children())


def segments(server: RunningServer) -> list[Path]:
    return list((server.log_dir / "segments").glob("*"))


def ask(server: RunningServer, clients: int, each: int) -> list[str]:
    """So many clients, each on connections of its own; the ids that were answered."""
    answered: list[str] = []

    def client() -> None:
        for _ in range(each):
            connection = http.client.HTTPConnection("127.0.0.1", server.client.base_url.port or 0, timeout=10)
            connection.request("POST", INFER, BODY)
            response = connection.getresponse()
            if response.status == 200:
                answered.append(str(response.headers["x-request-id"]))
            connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


def test_counts_and_log_are_whole_and_any_worker_tells_them(pair: RunningServer) -> None:
    answered = ask(pair, 4, 40)
    assert eventually(lambda: len(segments(pair)) == 2 or answered.extend(ask(pair, 4, 10))), "both workers answer"
    told = f"{len(answered)}.0"
    for _ in range(6):
        with httpx.Client(base_url=pair.client.base_url) as other:
            text = other.get("/metrics").text
        assert f"model_predictions_total{{{OWN}}} {told}" in text
        assert f"model_latency_ms_count{{{OWN}}} {told}" in text
        assert f"model_prediction_score_count{{{OWN}}} {told}" in text
        assert f"model_ready{{{OWN}}} 1.0" in text
    assert pair.metric(f"model_process_memory_bytes{{{OWN}}}") > 2 * 20e6
    pair.process.send_signal(signal.SIGTERM)
    assert pair.process.wait(timeout=20) == 0
    assert {path.suffix for path in segments(pair)} == {".jsonl"}
    assert sorted(logged(pair.log_dir)["request_id"]) == sorted(answered)
    assert len({path.name.split("-")[1] for path in segments(pair)}) == 2, "each in its own segment"


def test_a_killed_worker_is_replaced_and_its_counts_stay(pair: RunningServer) -> None:
    assert len(ask(pair, 2, 30)) == 60
    before = workers(pair)
    os.kill(before[0], signal.SIGKILL)
    assert eventually(lambda: len(workers(pair)) == 2 and workers(pair) != before, 20)
    pair.client.close()  # its connection may have been the dead worker's
    pair.client = httpx.Client(base_url=f"http://127.0.0.1:{pair.client.base_url.port}", timeout=10)
    assert eventually(lambda: pair.metric(f"model_workers{{{OWN}}}") == 2, 40)
    assert len(ask(pair, 2, 10)) == 20
    assert pair.metric(f"model_predictions_total{{{OWN}}}") == 80
    assert "another one is started" in pair.stderr.read_text()


def test_no_worker_outlives_a_killed_parent(pair: RunningServer) -> None:
    left = [psutil.Process(pid) for pid in workers(pair)]
    pair.process.kill()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", pair.client.base_url.port))


def test_the_port_closes_although_a_request_is_under_way(pair: RunningServer) -> None:
    with half_a_request(pair) as late:
        assert eventually(lambda: pair.client.get("/v2/health/live").status_code == 200)
        pair.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: refuses(pair))
        late.sendall(BODY[-10:])
        assert late.recv(100).startswith(b"HTTP/1.1 200")
    assert pair.process.wait(timeout=20) == 0


def test_sigterm_under_load_loses_no_answer(pair: RunningServer) -> None:
    answered: list[str] = []
    stop = threading.Event()

    def client() -> None:
        with httpx.Client(base_url=pair.client.base_url, timeout=5) as own:
            while not stop.is_set():
                try:
                    answered.append(own.post(INFER, content=BODY).headers["x-request-id"])
                except httpx.TransportError:
                    return

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(answered) > 200)
    pair.process.send_signal(signal.SIGTERM)
    assert pair.process.wait(timeout=20) == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert set(answered) <= set(logged(pair.log_dir)["request_id"])


def test_a_version_that_no_worker_can_load_ends_it_with_4(tmp_path: Path) -> None:
    build_folder(tmp_path / "3")
    (tmp_path / "3" / "model.onnx").write_bytes(b"no model")
    digest = write_manifest(tmp_path / "3")
    code, message = refused(tmp_path / "3", digest, tmp_path / "log", 0, "--workers", "2")
    assert code == 4
    assert "does not load" in message
    assert {json.loads(line)["version"] for line in message.splitlines()} == {3}
