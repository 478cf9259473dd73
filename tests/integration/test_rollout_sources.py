"""A user's metric on a real Prometheus: its values, none, several, a refused query, and a server that is down."""

import http.server
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from include.lifecycle.errors import SourceQueryError, SourceUnavailableError
from include.lifecycle.rollout.judging.metric_checks import check_metric
from include.lifecycle.rollout.sources.base import Look, read_sources
from include.lifecycle.rollout.sources.prometheus import PrometheusSource
from include.lifecycle.rollout.states import Measurement, State, Status
from include.lifecycle.sections.rollout_metrics import MetricSection
from include.lifecycle.verdicts import Outcome
from tests.conftest import free_port
from tests.integration.rollout_stack import wait_for
from tests.unit.lifecycle.rollout.test_machine import plan_of

pytestmark = pytest.mark.integration
SERIES = 'revenue_euros{version="8"} 120\nrevenue_euros{version="7"} 150\nbroken_euros NaN\n'
CONFIG = """
global: {{scrape_interval: 200ms}}
scrape_configs:
- job_name: shop
  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Shop(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(SERIES.encode())

    def log_message(self, *given):
        """Quiet."""


@pytest.fixture(scope="module")
def prometheus():
    """A Prometheus that scrapes two versions' revenue."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    shop = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    threading.Thread(target=shop.serve_forever, daemon=True).start()
    root, port = Path(tempfile.mkdtemp(prefix="modelops-prometheus-")), free_port()
    (root / "prometheus.yml").write_text(CONFIG.format(port=shop.server_port))
    options = [
        f"--config.file={root / 'prometheus.yml'}",
        f"--storage.tsdb.path={root}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *options], stdout=log, stderr=log)
    source = PrometheusSource(f"http://127.0.0.1:{port}")
    try:
        wait_for(lambda: source.query('revenue_euros{version="8"}') is not None, "the first scrape")
        yield source
    finally:
        process.terminate()
        process.wait(timeout=20)
        shop.shutdown()
        shutil.rmtree(root, ignore_errors=True)


def metric(query, limit=100.0, **more):
    return MetricSection.model_validate({"name": "revenue", "query": query, "limit": limit, "direction": "at_least"} | more)


def look(one, before=None, now=1000.0):
    plan = plan_of(metrics=[one.model_dump(mode="json")])
    status = Status(state=State.RUNNING, weights={8: 10, 7: 90})
    seen = before or Measurement()
    return Look(SimpleNamespace(), plan, status, seen, seen, now)


def read(source, one, before=None, now=1000.0):
    seen = read_sources([source], look(one, before, now))
    return seen, check_metric(one, seen)


def test_numbers_of_vectors_scalars_and_nothing(prometheus):
    assert prometheus.query('revenue_euros{version="8"}') == 120
    assert prometheus.query("scalar(sum(revenue_euros))") == 270
    assert prometheus.query("no_such_series") is None
    assert prometheus.query("broken_euros") is None


def test_what_is_no_number_is_refused(prometheus):
    with pytest.raises(SourceQueryError, match="2 series; one number is wanted"):
        prometheus.query("revenue_euros")
    with pytest.raises(SourceQueryError, match="parse error"):
        prometheus.query("revenue_euros{")
    with pytest.raises(SourceQueryError, match="matrix"):
        prometheus.query("revenue_euros[1m]")


def test_the_challengers_metric_beside_the_champions(prometheus):
    ratio = 'sum(revenue_euros{version="{{version}}"}) / sum(revenue_euros{version="{{champion}}"})'
    _, verdict = read(prometheus, metric(ratio, limit=0.75))
    assert (verdict.check, verdict.outcome, verdict.evidence["value"]) == ("metric:revenue", Outcome.PASS, pytest.approx(0.8))


def test_readings_in_a_row_break_the_limit(prometheus):
    one, seen, found = metric('revenue_euros{version="8"}', limit=130.0, readings=2), None, []
    for now in (0.0, 5.0, 15.0):  # the second is not due yet
        seen, verdict = read(prometheus, one, seen, 1000.0 + now)
        found.append((verdict.outcome, seen.metrics["revenue"].readings))
    assert found == [(Outcome.INCONCLUSIVE, 1), (Outcome.INCONCLUSIVE, 1), (Outcome.FAIL, 2)]


@pytest.mark.parametrize("query", ["no_such_series", "revenue_euros", "revenue_euros{"])
def test_no_value_is_inconclusive(prometheus, query):
    seen, verdict = read(prometheus, metric(query))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason == seen.metrics["revenue"].problem != ""


def test_a_server_that_is_down_is_inconclusive_and_forgets_the_last_value(prometheus):
    one, gone = metric('revenue_euros{version="8"}'), PrometheusSource(f"http://127.0.0.1:{free_port()}")
    seen, verdict = read(prometheus, one)
    assert verdict.passed
    seen, verdict = read(gone, one, seen, 1100.0)
    assert (verdict.outcome, seen.metrics["revenue"].value) == (Outcome.INCONCLUSIVE, None)
    assert "did not answer" in verdict.reason


def test_a_source_that_is_down_never_stops_the_look():
    class Gone:
        name = "gateway"

        def read(self, look):
            raise SourceUnavailableError("connection refused")

    seen = read_sources([Gone()], look(metric("up")))
    assert seen.silent == {"gateway": "gateway did not answer: connection refused"}
