"""Routes, admission and counts of the application, without a socket."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from include.serving.replies import BodyLimits, ClientGoneError, read_body
from include.serving.tensor_checks import RequestRefusedError
from tests.unit.serving.apps import Asked, InProcess
from tests.unit.serving.folders import one_row, request_body

INFER = "/v2/models/flights/infer"
OWN = 'model="flights",version="3"'


class SlowEngine:
    """Answers in the pool, each call after 20 ms."""

    blocking = True

    def predict(self, columns: Any, rows: int) -> Any:
        import time

        time.sleep(0.02)
        return np.full(rows, 0.25)


def rows(count: int) -> dict[str, Any]:
    return request_body({name: values * count for name, values in one_row().items()})


def test_scores_latency_and_rows_are_counted(onnx_folder: tuple[Path, str]) -> None:
    served = InProcess(onnx_folder[0])
    found = asyncio.run(served.ask(INFER, rows(3))).json()["outputs"][0]["data"]
    asyncio.run(served.ask(INFER, rows(1)))
    assert served.sample(f"model_predictions_total{{{OWN}}}") == 4
    assert served.sample(f"model_latency_ms_count{{{OWN}}}") == 2
    assert served.sample(f"model_inference_time_seconds_count{{{OWN}}}") == 2
    assert served.sample(f"model_prediction_score_count{{{OWN}}}") == 4
    assert served.sample(f"model_prediction_score_sum{{{OWN}}}") == pytest.approx(4 * found[0])
    below = next(step / 20 for step in range(1, 21) if found[0] <= step / 20)
    assert served.sample(f'model_prediction_score_bucket{{le="{below}",{OWN}}}') == 4
    assert served.sample(f'model_prediction_score_bucket{{le="{below - 0.05:.2f}",{OWN}}}') == 0


def test_the_metrics_are_prometheus_text_with_model_and_version(onnx_folder: tuple[Path, str]) -> None:
    answer = asyncio.run(InProcess(onnx_folder[0]).ask("/metrics"))
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {one.name: one for one in text_string_to_metric_families(answer.body.decode())}
    counters = ("model_predictions", "model_errors", "model_process_cpu_seconds")  # a counter's samples end in _total
    histograms = ("model_latency_ms", "model_inference_time_seconds", "model_prediction_score")
    gauges = ("model_process_memory_bytes", "model_waiting_requests", "model_workers", "model_ready", "model_info")
    for kind, names in (("counter", counters), ("histogram", histograms), ("gauge", gauges)):
        for name in names:
            assert families[name].type == kind
            assert all({"model": "flights", "version": "3"}.items() <= one.labels.items() for one in families[name].samples)


def test_the_process_is_measured(onnx_folder: tuple[Path, str]) -> None:
    served = InProcess(onnx_folder[0])
    asyncio.run(served.ask("/metrics"))
    first = served.sample(f"model_process_cpu_seconds_total{{{OWN}}}")
    sum(range(3_000_000))
    asyncio.run(served.ask("/metrics"))
    assert served.sample(f"model_process_cpu_seconds_total{{{OWN}}}") > first > 0
    assert served.sample(f"model_process_memory_bytes{{{OWN}}}") > 20e6
    assert served.sample(f"model_workers{{{OWN}}}") == 1


async def at_once(served: InProcess, requests: int) -> list[Asked]:
    return await asyncio.gather(*(served.ask(INFER, rows(1)) for _ in range(requests)))


@pytest.mark.parametrize("engine", [None, SlowEngine()], ids=["event loop", "pool"])
def test_a_full_queue_is_503_with_retry_after(onnx_folder: tuple[Path, str], engine: Any) -> None:
    served = InProcess(onnx_folder[0], queue=3, engine=engine)
    answers = asyncio.run(at_once(served, 5))
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 503, 503]
    refused = next(answer for answer in answers if answer.status == 503)
    assert int(refused.headers["retry-after"]) >= 1
    assert "3 requests wait already" in refused.json()["error"]
    assert served.sample(f'model_rejected_requests_total{{code="503",{OWN}}}') == 2
    assert served.sample(f"model_errors_total{{{OWN}}}") == 2
    assert served.admission.waiting == 0
    assert asyncio.run(served.ask(INFER, rows(1))).status == 200


@pytest.mark.parametrize("engine", [None, SlowEngine()], ids=["event loop", "pool"])
def test_retry_after_counts_computing_and_not_the_wait_for_it(
    onnx_folder: tuple[Path, str], engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = InProcess(onnx_folder[0], queue=16, engine=engine)
    leave, told = served.admission.leave, []
    monkeypatch.setattr(served.admission, "leave", lambda seconds: (told.append(seconds), leave(seconds)))
    begun = perf_counter()
    asyncio.run(at_once(served, 16))
    assert len(told) == 16
    assert 0 < sum(told) <= perf_counter() - begun  # what one after another computed; waits would count several times


def test_a_request_that_fails_or_is_cancelled_gives_its_place_back(onnx_folder: tuple[Path, str]) -> None:
    served = InProcess(onnx_folder[0], queue=1, engine=SlowEngine())

    async def cancelled() -> None:
        for patience in (0, 0.005):
            task = asyncio.create_task(served.ask(INFER, rows(1)))
            await asyncio.sleep(patience)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    assert asyncio.run(served.ask(INFER, {"inputs": 3})).status == 400
    assert served.admission.waiting == 0


def test_what_the_engine_cannot_do_is_500_and_told_to_nobody_else(onnx_folder: tuple[Path, str]) -> None:
    class Broken(SlowEngine):
        def predict(self, columns: Any, rows: int) -> Any:
            return np.full(rows, np.nan)

    served = InProcess(onnx_folder[0], engine=Broken())
    answer = asyncio.run(served.ask(INFER, rows(1), x_request_id="r-9"))
    assert (answer.status, answer.json()) == (500, {"error": "flights version 3 failed to answer"})
    assert answer.headers["x-request-id"] == "r-9"
    assert served.sample(f"model_errors_total{{{OWN}}}") == 1
    assert not served.log.answers


def test_draining_says_not_ready_and_closes_connections(onnx_folder: tuple[Path, str]) -> None:
    served = InProcess(onnx_folder[0])
    paths = ["/v2/health/ready", "/v2/models/flights/ready", "/v2/models/flights/versions/3/ready", "/ping"]
    before = [asyncio.run(served.ask(path)) for path in paths]
    assert {(answer.status, "connection" in answer.headers) for answer in before} == {(200, False)}
    served.admission.draining = True
    after = [asyncio.run(served.ask(path)) for path in paths]
    assert {(answer.status, answer.json()["ready"], answer.headers["connection"]) for answer in after} == {(503, False, "close")}
    assert asyncio.run(served.ask("/v2/health/live")).status == 200
    assert asyncio.run(served.ask(INFER, rows(1))).status == 200


def test_a_large_body_is_413_before_it_is_read(onnx_folder: tuple[Path, str]) -> None:
    served = InProcess(onnx_folder[0])
    answer = asyncio.run(served.ask(INFER, b" " * 4097))
    assert answer.status == 413
    assert "larger than the limit of 4096 bytes" in answer.json()["error"]
    assert answer.headers["connection"] == "close"
    asked = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": b"x", "more_body": True}

    scope = {"headers": [(b"content-length", b"4097")]}
    with pytest.raises(RequestRefusedError):
        asyncio.run(read_body(scope, receive, BodyLimits(4096)))
    assert asked == 1


def test_a_body_in_pieces_and_a_client_that_goes() -> None:
    def pieces(*messages: dict[str, Any]) -> Any:
        left = iter(messages)

        async def receive() -> dict[str, Any]:
            return next(left)

        return receive

    def piece(body: bytes, *, more: bool) -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": more}

    scope: dict[str, Any] = {"headers": []}
    whole = read_body(scope, pieces(piece(b"ab", more=True), piece(b"", more=True), piece(b"c", more=False)), BodyLimits(3))
    assert asyncio.run(whole) == b"abc"
    with pytest.raises(RequestRefusedError):
        asyncio.run(read_body(scope, pieces(piece(b"ab", more=True), piece(b"cd", more=False)), BodyLimits(3)))
    with pytest.raises(ClientGoneError):
        asyncio.run(read_body(scope, pieces(piece(b"ab", more=True), {"type": "http.disconnect"}), BodyLimits(3)))


def test_a_body_that_does_not_come_is_408() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0 if first.pop() else 9)
        return {"type": "http.request", "body": b"{", "more_body": True}

    first = [False, True]
    with pytest.raises(RequestRefusedError, match=r"did not come within 0\.05 s") as caught:
        asyncio.run(read_body({"headers": []}, receive, BodyLimits(99, 0.05)))
    assert (caught.value.status, caught.value.headers) == (408, ((b"connection", b"close"),))


def test_identity_is_logged(onnx_folder: tuple[Path, str]) -> None:
    served = InProcess(onnx_folder[0])
    headers = {"x_request_id": "r-1", "x_modelops_assigned": "4", "x_modelops_arm": "shadow"}
    asyncio.run(served.ask(INFER, rows(2), **headers))
    asyncio.run(served.ask(INFER, rows(1), x_request_id="ü" * 200, x_modelops_assigned="no"))
    first, second = served.log.answers
    assert (first.request_id, first.assigned_version, first.arm, len(first.predicted.values)) == ("r-1", 4, "shadow", 2)
    assert (len(second.request_id), second.assigned_version, second.arm) == (32, None, "live")
