"""What became of a train run, by the counts that Airflow gives a task."""

from __future__ import annotations

import pytest

from modelops.runs import train_run_state


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
