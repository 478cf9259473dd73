"""The model server as a process at its limits: drain, a full queue, large bodies, API keys, JSON logs."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from include.lifecycle.monitoring.security.access import AccessReader
from include.lifecycle.rollout.before_traffic.key_file import change_keys
from include.serving.api_keys import new_key, revoked
from tests.integration.test_serving_server import refused
from tests.unit.serving.folders import build_folder, one_row, request_body
from tests.unit.serving.running import RunningServer, eventually, running_server

pytestmark = pytest.mark.integration

INFER, OWN = "/v2/models/flights/infer", 'model="flights",version="3"'
BODY = json.dumps(request_body(one_row())).encode()


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("onnx") / "3"
    return folder, build_folder(folder)


def port_of(server: RunningServer) -> int:
    assert server.client.base_url.port is not None
    return server.client.base_url.port


def half_a_request(server: RunningServer) -> socket.socket:
    """A connection whose request lacks its last ten bytes."""
    connection = socket.create_connection(("127.0.0.1", port_of(server)))
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
    connection.sendall(head + BODY[:-10])
    return connection


def refuses(server: RunningServer) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_drain(onnx: tuple[Path, str], tmp_path: Path) -> None:
    """Ready says 503, new requests are still answered; the port closes; what was under way is answered; the log is closed."""
    with running_server(*onnx, tmp_path / "log", "--drain-notice", "2") as server:
        with half_a_request(server) as late:
            eventually(lambda: server.client.get("/v2/health/live").status_code == 200)
            server.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert eventually(lambda: server.client.get("/v2/health/ready").status_code == 503)
            answer = server.infer(one_row(), x_request_id="in the notice")
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            assert server.metric(f"model_ready{{{OWN}}}") in (0, 1)
            assert eventually(lambda: refuses(server))
            assert time.monotonic() - began >= 1.5
            late.sendall(BODY[-10:])
            response = http.client.HTTPResponse(late)
            response.begin()
            assert response.status == 200
            assert json.loads(response.read())["model_version"] == "3"
        assert server.process.wait(timeout=10) == 0
    closed = list((server.log_dir / "segments").iterdir())
    assert [path.suffix for path in closed] == [".jsonl"]
    assert "in the notice" in closed[0].read_text()
    assert len(closed[0].read_text().splitlines()) == 2
    assert "the prediction log is closed" in server.stderr.read_text()


def test_a_second_signal_ends_the_notice_and_a_stalled_request_the_patience(onnx: tuple[Path, str], tmp_path: Path) -> None:
    options = ("--drain-notice", "30", "--drain-at-most", "1")
    with running_server(*onnx, tmp_path / "log", *options) as server, half_a_request(server):
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: server.client.get("/v2/health/ready").status_code == 503)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert server.process.wait(timeout=25) == 0
        assert time.monotonic() - began < 20


def test_a_flood_is_answered_or_refused_and_loses_nothing(tmp_path: Path) -> None:
    """16 clients at a model that takes milliseconds, with room for one: each answer is 200 or 503, and readiness is told."""
    digest = build_folder(tmp_path / "3", "sklearn")
    seen: Counter[int] = Counter()
    with running_server(tmp_path / "3", digest, tmp_path / "log", "--queue", "1") as server:
        until = time.monotonic() + 20

        def client() -> None:
            with httpx.Client(base_url=server.client.base_url, timeout=20) as own:
                while time.monotonic() < until and (seen[503] < 5 or seen[200] < 5):
                    response = own.post(INFER, content=BODY)
                    seen[response.status_code] += 1
                    assert (response.status_code == 503) == ("retry-after" in response.headers)

        threads = [threading.Thread(target=client) for _ in range(16)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert server.client.get("/v2/health/ready").status_code == 200
            time.sleep(0.05)
        assert set(seen) == {200, 503}
        assert server.metric(f"model_predictions_total{{{OWN}}}") == seen[200]
        assert server.metric(f'model_rejected_requests_total{{code="503",{OWN}}}') == seen[503]
        assert server.metric(f"model_waiting_requests{{{OWN}}}") == 0


def test_a_body_over_the_limit_is_413_at_its_head(onnx: tuple[Path, str], tmp_path: Path) -> None:
    with running_server(*onnx, tmp_path / "log", "--max-body", "2000") as server:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=5) as connection:
            connection.sendall(f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 9999999\r\n\r\n{{".encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == 413
            assert "larger than the limit of 2000 bytes" in json.loads(response.read())["error"]
            assert connection.recv(1) == b"", "the server closes what it will not read"
        chunks = iter([b"x" * 1500, b"x" * 1500])
        assert server.client.post(INFER, content=chunks).status_code == 413
        assert server.infer(one_row()).status_code == 200


def test_a_body_that_never_comes_is_408(onnx: tuple[Path, str], tmp_path: Path) -> None:
    with running_server(*onnx, tmp_path / "log", "--body-within", "0.3") as server:
        head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
        for sent in (b"", BODY[:-10]):
            with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as connection:
                connection.sendall(head + sent)
                response = http.client.HTTPResponse(connection)
                response.begin()
                assert response.status == 408
                assert "did not come within 0.3 s" in json.loads(response.read())["error"]
                assert connection.recv(1) == b""
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as slow:
            slow.sendall(head)
            time.sleep(0.1)
            slow.sendall(BODY)
            response = http.client.HTTPResponse(slow)
            response.begin()
            assert response.status == 200
        assert server.metric(f'model_rejected_requests_total{{code="408",{OWN}}}') == 2


def test_keys_are_asked_for_and_a_revoked_one_is_refused_while_it_runs(onnx: tuple[Path, str], tmp_path: Path) -> None:
    path, now = tmp_path / "keys.json", datetime.now(UTC)
    key, text = new_key("billing", now=now)
    change_keys(path, lambda keys: [*keys, key])
    with running_server(*onnx, tmp_path / "log", "--keys", str(path), "--drain-notice", "0") as server:
        assert server.infer(one_row()).status_code == 401
        assert server.infer(one_row(), authorization=f"Bearer {text}").status_code == 200
        change_keys(path, lambda keys: revoked(keys, key.id, now))
        assert eventually(lambda: server.infer(one_row(), x_api_key=text).status_code == 401)
        assert server.metric(f'model_auth_failures_total{{client="billing",code="401",{OWN}}}') == 1
        assert text not in server.client.get("/metrics").text
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=10) == 0
    assert text not in server.stderr.read_text()
    told = AccessReader(server.log_dir).between(now - timedelta(minutes=1), now + timedelta(minutes=2))
    counts = Counter[tuple[str, int]]()
    for client, status, requests in zip(told.clients, told.statuses, told.requests, strict=True):
        counts[client, int(status)] += int(requests)
    assert counts.pop(("billing", 200)) >= 1
    assert counts == {("", 401): 1, ("billing", 401): 1}


def test_a_key_file_that_is_not_there_ends_it_with_4(onnx: tuple[Path, str], tmp_path: Path) -> None:
    code, message = refused(*onnx, tmp_path / "log", 0, "--keys", str(tmp_path / "none"))
    assert code == 4
    assert "MODELOPS_SERVER_KEYS_FILE names the file" in json.loads(message.splitlines()[-1])["message"]


def test_every_line_of_its_log_is_json_with_model_and_version(onnx: tuple[Path, str], tmp_path: Path) -> None:
    with running_server(*onnx, tmp_path / "log", "--drain-notice", "0") as server:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=5) as connection:
            connection.sendall(b"this is no HTTP\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=10) == 0
    lines = [json.loads(line) for line in server.stderr.read_text().splitlines()]
    assert {(line["model_name"], line["version"]) for line in lines} == {("flights", 3)}
    assert [line["level"] for line in lines] == ["info", "warning", "info", "info"]
    assert lines[0]["message"].startswith("flights version 3 (onnx) on http://127.0.0.1:")
