"""What became of a train run, by the counts that Airflow gives a task."""

from __future__ import annotations

import pytest

from modelops.runs import deploy_run_alive, train_run_state


class Instance:
    """Answers like a task instance whose Airflow knows these runs."""

    def __init__(self, runs: dict[str, str]) -> None:
        self.runs = runs

    def get_dr_count(self, dag_id: str, run_ids: list[str], states: list[str] | None) -> int:
        assert dag_id == "train__m"
        return sum(1 for run_id, state in self.runs.items() if run_id in run_ids and (states is None or state in states))


CASES = [
    ({"r": "running"}, "alive"),
    ({"r": "queued"}, "alive"),
    ({"r": "failed"}, "failed"),
    ({"r": "success"}, "failed"),
    ({}, "gone"),
]


@pytest.mark.parametrize(("runs", "expected"), CASES)
def test_states(runs, expected):
    assert train_run_state(Instance(runs))("m", "r") == expected


@pytest.mark.parametrize(("dag", "alive"), [("deploy__m", True), ("aa_test", True), ("deploy__other", False)])
def test_a_rollout_is_alive_with_the_run_that_opened_it(dag, alive):
    class OneRun:
        def get_dr_count(self, dag_id, run_ids, states):
            assert states == ["queued", "running"]
            return int(dag_id == dag and run_ids == ["r"])

    assert deploy_run_alive(OneRun())("m", "r") is alive
    assert not deploy_run_alive(OneRun())("m", "another")
