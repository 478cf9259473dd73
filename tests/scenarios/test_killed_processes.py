"""`kill -9` at the worst moments: the loop closes all the same, or stops cleanly and says why, and clients do not notice."""

from __future__ import annotations

import time

from include.lifecycle.clock import read_clock
from tests.scenarios.conftest import Scenario

CANARY = "running, "  # as in "running, 25 % of the traffic": a step may be over before it is seen
OUTAGE = 400  # client requests: five seconds without a gateway at eighty a second
RECOVERY = 60.0  # wall seconds after the job's end within which everything is healthy again


def newest_server(scenario: Scenario) -> str:
    """Program name of the newest version's model server."""
    names = [name for name in scenario.stack.status() if name.startswith("server-flight_delay-")]
    return max(names, key=lambda name: int(name.rsplit("-", 1)[1]))


def test_loop_closes_although_a_task_daemons_and_the_canary_are_killed(scenario: Scenario):
    job = scenario.start()
    job.wait_for("Training 1 (schedule)")
    scenario.kill_task()
    job.wait_for("Training 2 (schedule)")
    scenario.kill("scheduler")
    job.wait_for(CANARY)
    scenario.kill(newest_server(scenario))
    scenario.kill("triggerer")
    job.wait_for("Watch for drift")
    scenario.kill("mlflow")
    scenario.kill("api-server")
    code = job.end()
    summary = job.summary()
    assert code == 0, job.said[-3000:]
    assert summary["loop_closed"]
    assert summary["client_requests"]["failed"] == 0
    assert summary["drift_signal"] is not None


def test_gateway_and_database_killed_end_in_a_closed_loop_or_a_clean_stop(scenario: Scenario):
    job = scenario.start()
    job.wait_for("A week of traffic")
    scenario.kill("gateway")
    job.wait_for(CANARY)
    scenario.kill("postgres")
    code = job.end()
    summary = job.summary()
    assert code in (0, 1), job.said[-3000:]
    assert summary["loop_closed"] or summary["failure"], summary
    assert summary["client_requests"]["failed"] < OUTAGE, summary["client_requests"]
    assert scenario.replay_processes() == []
    clock_file = scenario.stack.settings.clock_file
    assert clock_file is not None
    assert read_clock(clock_file).rate == 1.0
    deadline = time.monotonic() + RECOVERY
    while not set(scenario.stack.status().values()) <= {"healthy", "running"}:
        assert time.monotonic() < deadline, scenario.stack.status()
        time.sleep(1)
