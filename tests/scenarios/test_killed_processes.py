"""`kill -9` at the worst moments: the loop closes all the same, and no client notices."""

from __future__ import annotations

from tests.scenarios.conftest import Scenario


def test_loop_closes_although_a_task_and_daemons_are_killed(scenario: Scenario):
    job = scenario.start()
    job.wait_for("Training 1 (schedule)")
    scenario.kill_task()
    job.wait_for("Training 2 (schedule)")
    scenario.kill("scheduler")
    job.wait_for("Roll out version 2")
    scenario.kill("triggerer")
    code = job.end()
    summary = job.summary()
    assert code == 0, job.said[-3000:]
    assert summary["loop_closed"]
    assert summary["client_requests"]["failed"] == 0
    assert summary["drift_signal"] is not None


def test_clients_do_not_notice_a_canary_that_is_killed(scenario: Scenario):
    job = scenario.start()
    job.wait_for("running, 10 % of the traffic")
    version = max(int(name.rsplit("-", 1)[1]) for name in scenario.stack.status() if name.startswith("server-flight_delay-"))
    scenario.kill(f"server-flight_delay-{version}")
    job.wait_for("Watch for drift")
    job.interrupt()
    assert job.end(120) == 130
    assert job.summary()["client_requests"]["failed"] == 0
