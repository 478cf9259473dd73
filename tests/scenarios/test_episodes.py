"""The main job again, and the main job given up: nothing half-started stays, and a second run closes a loop in a new episode."""

from __future__ import annotations

from include.lifecycle.clock import read_clock
from tests.scenarios.conftest import Scenario


def test_interrupted_job_leaves_nothing_half_started_and_the_next_one_closes(scenario: Scenario):
    job = scenario.start()
    job.wait_for("A week of traffic")
    assert len(scenario.replay_processes()) == 1
    job.interrupt()
    assert job.end(60) == 130
    assert scenario.replay_processes() == []
    clock_file = scenario.stack.settings.clock_file
    assert clock_file is not None
    assert read_clock(clock_file).rate == 1.0
    assert job.summary()["failure"] == "interrupted"
    assert set(scenario.stack.status().values()) <= {"healthy", "running"}

    again = scenario.start()
    assert again.end() == 0, again.said[-3000:]
    summary = again.summary()
    assert summary["loop_closed"]
    assert summary["episode"] == 2
    assert summary["champion_before"] == 1
    assert summary["client_requests"]["failed"] == 0
