"""How the client speaks to Airflow over HTTP: one run per id however often it is asked for, patience, and reasons from logs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from include.demo import airflow_client
from include.demo.airflow_client import AirflowClient
from include.lifecycle.errors import LifecycleError, SourceUnavailableError
from tests.conftest import free_port

Answers = dict[tuple[str, str], list[tuple[int, Any]]]
RUN = "/api/v2/dags/train__flight_delay/dagRuns/a%2Bb%3Ac"


@pytest.fixture
def airflow() -> Iterator[Callable[[Answers], tuple[AirflowClient, list[tuple[str, str, Any]]]]]:
    """A server that gives each (method, path) its answers in turn, the last one again and again, and notes what was asked."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: Answers) -> tuple[AirflowClient, list[tuple[str, str, Any]]]:
        asked: list[tuple[str, str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                path = self.path.partition("?")[0]
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                asked.append((self.command, self.path, json.loads(body) if body else None))
                waiting = answers[self.command, path]
                status, content = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815 - names of http.server

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return AirflowClient(httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}")), asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_run_that_exists_already_is_the_run(airflow):
    client, asked = airflow({("POST", "/api/v2/dags/retire/dagRuns"): [(409, {"detail": "exists"})]})
    assert client.trigger("retire", "demo__1", {"model": "m"}) == "demo__1"
    assert asked[0][2] == {"dag_run_id": "demo__1", "logical_date": None, "conf": {"model": "m"}}


def test_a_server_that_restarts_is_waited_for(airflow, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(airflow_client.time, "sleep", lambda _: None)
    client, asked = airflow({("GET", RUN): [(503, "starting"), (500, "starting"), (200, {"state": "running"})]})
    assert client.state("train__flight_delay", "a+b:c") == "running"
    assert len(asked) == 3


def test_a_server_that_stays_away_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(airflow_client, "_PATIENCE", 0.0)
    client = AirflowClient(httpx.Client(base_url=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(SourceUnavailableError, match="GET /api/v2/dags"):
        client.dags()


def test_a_refusal_is_no_reason_to_try_again(airflow):
    client, asked = airflow({("POST", "/api/v2/dags/retire/dagRuns"): [(400, {"detail": "Invalid input for param model"})]})
    with pytest.raises(LifecycleError, match="Invalid input for param model"):
        client.trigger("retire", "demo__1", {})
    assert len(asked) == 1


def test_failure_names_the_task_and_ends_with_its_log(airflow):
    tasks = [
        {"task_id": "fetch_data", "map_index": -1, "try_number": 1, "state": "success"},
        {"task_id": "tune", "map_index": 1, "try_number": 4, "state": "failed"},
        {"task_id": "train_model", "map_index": -1, "try_number": 0, "state": "upstream_failed"},
    ]
    error = {
        "event": "Task failed with exception",
        "error_detail": [{"exc_type": "DataInvalidError", "exc_value": "one class only"}],
    }
    client, asked = airflow(
        {
            ("GET", f"{RUN}/taskInstances"): [(200, {"task_instances": tasks})],
            ("GET", f"{RUN}/taskInstances/tune/logs/4"): [(200, {"content": [{"event": "::group::"}, error]})],
        }
    )
    said = client.failure("train__flight_delay", "a+b:c")
    assert "tune failed, train_model upstream_failed" in said
    assert said.endswith("DataInvalidError: one class only")
    assert "map_index=1" in asked[-1][1]


def test_import_errors_come_with_file_and_last_line(airflow):
    errors = [{"filename": "flight_delay.py", "stack_trace": "Traceback\n  ...\nSpecInvalidError: flight_delay: 1 problem\n"}]
    client, _ = airflow({("GET", "/api/v2/importErrors"): [(200, {"import_errors": errors})]})
    assert client.import_errors() == ["flight_delay.py: SpecInvalidError: flight_delay: 1 problem"]
