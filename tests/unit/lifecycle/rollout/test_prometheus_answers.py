"""What answers in the place of Prometheus but not as it does: a page, an error in good form, halves, infinities. No surprise."""

import http.server
import threading
from types import SimpleNamespace

import pytest

from include.lifecycle.rollout.judging.metric_checks import check_metric
from include.lifecycle.rollout.sources.base import Look, read_sources
from include.lifecycle.rollout.sources.prometheus import PrometheusSource
from include.lifecycle.rollout.states import Measurement, State, Status
from include.lifecycle.sections.rollout_metrics import MetricSection
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.rollout.test_machine import plan_of

METRIC = MetricSection.model_validate({"name": "revenue", "query": "x", "limit": 5.0})


class Place(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.wfile.write(self.server.answer)

    def log_message(self, *given):
        """Quiet."""


@pytest.fixture(scope="module")
def place():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Place)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def read(place, body, status="200 OK", length=None):
    place.answer = f"HTTP/1.0 {status}\r\ncontent-length: {length or len(body)}\r\n\r\n{body}".encode()
    plan = plan_of(metrics=[METRIC.model_dump(mode="json")])
    look = Look(SimpleNamespace(), plan, Status(state=State.RUNNING), Measurement(), Measurement(), 1000.0)
    return read_sources([PrometheusSource(f"http://127.0.0.1:{place.server_port}")], look)


def vector(value):
    return f'{{"status":"success","data":{{"resultType":"vector","result":[{{"value":[1,{value}]}}]}}}}'


MALFORMED = [
    '{"status":"error","errorType":"internal","error":"not ready"}',
    '{"data":null}',
    '{"data":{"resultType":"vector"}}',
    '{"data":{"resultType":"vector","result":null}}',
    '{"data":{"resultType":"vector","result":{}}}',
    '{"data":{"resultType":"vector","result":[{}]}}',
    '{"data":{"resultType":"vector","result":[{"value":[1]}]}}',
    '{"data":{"resultType":"vector","result":[{"value":null}]}}',
    '{"data":{"resultType":"scalar","result":5}}',
    vector('"many"'),
    "[]",
    "null",
    "5",
    "<html>sign in</html>",
    "",
]


@pytest.mark.parametrize("body", MALFORMED)
def test_what_is_no_answer_of_prometheus_is_inconclusive_with_a_reason(place, body):
    seen = read(place, body)
    verdict = check_metric(METRIC, seen)
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, seen.metrics["revenue"].problem)
    assert "answer" in verdict.reason or "no value" in verdict.reason


def test_half_an_answer_and_no_http_are_inconclusive(place):
    assert "did not answer" in read(place, '{"data"', length=400).metrics["revenue"].problem
    place.answer = b"SSH-2.0-OpenSSH\r\n"
    source = PrometheusSource(f"http://127.0.0.1:{place.server_port}")
    plan = plan_of(metrics=[METRIC.model_dump(mode="json")])
    look = Look(SimpleNamespace(), plan, Status(state=State.RUNNING), Measurement(), Measurement(), 1000.0)
    assert "did not answer" in read_sources([source], look).metrics["revenue"].problem


@pytest.mark.parametrize("value", ['"+Inf"', '"-Inf"', '"NaN"'])
def test_no_finite_number_is_no_value(place, value):
    assert read(place, vector(value)).metrics["revenue"].problem == "the query gives no value"


def test_a_number_is_a_reading(place):
    assert read(place, vector('"4.5"')).metrics["revenue"].value == 4.5


def test_a_refusal_whose_reason_is_no_json_is_told(place):
    assert "was refused" in read(place, "<html>", status="400 Bad Request").metrics["revenue"].problem
