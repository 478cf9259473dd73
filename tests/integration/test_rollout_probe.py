"""The look's own probes of a challenger's servers, against a server that answers as the test says."""

import http.server
import threading
import time

import pytest

from include.lifecycle.database import transaction
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, write_desired
from include.lifecycle.rollout.judging.server_check import check_servers
from include.lifecycle.rollout.sources.base import Look
from include.lifecycle.rollout.sources.server_probe import ServerProbe
from include.lifecycle.rollout.states import Measurement, State, Status
from include.lifecycle.statistics.sketch import Sketch
from include.serving.log_schema import PROBE_PREFIX
from tests.conftest import free_port
from tests.unit.lifecycle.rollout.test_machine import plan_of

pytestmark = pytest.mark.integration


class Answering(http.server.ThreadingHTTPServer):
    """Answers every request with `code` after `delay` seconds and keeps its request ids."""

    def __init__(self):
        self.code, self.delay, self.ids = 200, 0.0, []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.ids.append(self.headers["x-request-id"])
        time.sleep(self.server.delay)
        self.send_response(self.server.code)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *given):
        """Quiet."""


@pytest.fixture
def server():
    made = Answering()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def probe(make_runtime, tmp_path):
    """`probe(ports, failed in a row, champion's p99 in seconds)`: the measurement after one reading."""
    rt, plan = make_runtime(), plan_of()

    def read(ports, failed=1, usual=0.01, before=None):
        row = {version: Server(ports=ports, digest="d", folder=str(tmp_path)) for version in (7, 8)}
        with transaction(rt.engine) as connection:
            write_desired(connection, DesiredTraffic(model="churn", champion=7, weights={7: 90, 8: 10}, servers=row))
        times = {"champion": Sketch().plus([usual * 1e6] * 100)}
        seen = Measurement(requests=9, failed_in_a_row=failed, champion_requests=90, times=times)
        look = Look(rt, plan, Status(state=State.RUNNING), before or Measurement(), seen, 1000.0)
        after = seen.model_copy(update=ServerProbe().read(look))
        return after, check_servers(plan, after)

    return read


def test_nothing_is_asked_while_nothing_fails(probe, server):
    seen, _ = probe((server.server_port,), failed=0)
    assert (seen.probes, server.ids) == (None, [])
    told, _ = probe((server.server_port,))
    assert probe((server.server_port,), failed=0, before=told)[0].probes is None


@pytest.mark.parametrize(("code", "asked", "failed"), [(200, 1, 0), (400, 1, 0), (401, 1, 0), (503, 3, 3), (500, 3, 3)])
def test_below_500_is_alive(probe, server, code, asked, failed):
    server.code = code
    seen, verdict = probe((server.server_port,))
    assert (seen.probes.asked, seen.probes.failed, verdict.failed) == (asked, failed, failed == 3)
    assert all(one.startswith(PROBE_PREFIX) for one in server.ids)


def test_nobody_there_is_dead_and_one_of_two_is_not(probe, server):
    assert probe((free_port(),))[1].reason == "the newest request and all 3 probes of its servers failed"
    seen, verdict = probe((free_port(), server.server_port))
    assert ((seen.probes.asked, seen.probes.failed), verdict.failed) == ((4, 3), False)


def test_a_model_that_takes_its_time_is_given_it(probe, server):
    server.delay = 0.7
    began = time.monotonic()
    assert probe((server.server_port,), usual=0.01)[1].failed
    assert time.monotonic() - began < 3
    assert not probe((server.server_port,), usual=0.6)[1].failed
