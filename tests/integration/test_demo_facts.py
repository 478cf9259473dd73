"""What the story reads: our tables in a real database, MLflow's registry on a real server; a summary even when both are away."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from rich.console import Console

from include.demo.airflow_client import AirflowClient
from include.demo.board import Board
from include.demo.chronicle import Challenge, Chronicle
from include.demo.episodes import Episode
from include.demo.facts import RegistryFacts, TableFacts
from include.demo.outside import ReplayProcess
from include.demo.story import DemoFailedError, Story
from include.demo.summary import told, write_summary
from include.lifecycle.database import transaction
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.ledger import Entry
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import rollouts, signals, training_requests
from tests.conftest import NOW, free_port

MODEL = "flight_delay"


def insert(rt: Runtime, table: Any, **values: Any) -> int:
    with transaction(rt.engine) as connection:
        return int(connection.execute(table.insert().values(values).returning(table.c.id)).scalar_one())


def request(rt: Runtime, **values: Any) -> int:
    usual = {"model": MODEL, "source": "schedule", "reason": "r", "requested_at": NOW, "requested_by": "test", "cause": {}}
    return insert(rt, training_requests, **(usual | values))


@pytest.fixture
def story(rt: Runtime, tmp_path: Path) -> Story:
    """A story whose Airflow and MLflow are away."""
    nobody = f"http://127.0.0.1:{free_port()}"
    replay = ReplayProcess(tmp_path, {}, Episode(1), 0.1, tmp_path / "run")
    board = Board(Console(file=io.StringIO()))
    tables, registry = TableFacts(rt.engine, MODEL), RegistryFacts(nobody, MODEL)
    airflow = AirflowClient(httpx.Client(base_url=nobody))
    return Story(rt, airflow, tables, registry, board, replay, Episode(1), tmp_path / "clock.json")


def test_only_a_claimed_request_of_a_signal_counts(rt: Runtime):
    facts = TableFacts(rt.engine, MODEL)
    before = request(rt, source="signal", run_id="old", state="done")
    request(rt, source="schedule", run_id="weekly", state="claimed")
    request(rt, source="signal", run_id="folded", state="done")
    request(rt, source="signal", state="open")
    assert facts.claimed_for_signal(before, ["folded"]) is None
    wanted = request(rt, source="signal", run_id="by-event", state="claimed")
    found = facts.claimed_for_signal(before, ["folded"])
    assert found is not None
    assert found["id"] == wanted
    assert facts.training_now() == "weekly"


def test_signal_of_a_training_is_what_it_was_requested_for(rt: Runtime):
    number = request(rt, source="signal", cause={"cause": "decay:calibration_gap"})
    seen = {"model": MODEL, "kind": "decay", "severity": "act", "first_seen": NOW, "last_seen": NOW, "state": "accepted"}
    for cause, effect in (("covariate:temp", 0.9), ("decay:calibration_gap", 0.12), ("decay:roc_auc", 0.4)):
        kind = cause.partition(":")[0]
        insert(rt, signals, **seen | {"kind": kind}, cause=cause, effect=effect, training_request_id=number)
    found = TableFacts(rt.engine, MODEL).signal_of(number)
    assert found is not None
    assert found["cause"] == "decay:calibration_gap"


def test_rollouts_open_and_newest(rt: Runtime):
    facts = TableFacts(rt.engine, MODEL)
    assert facts.open_rollout() is None
    row = {"model": MODEL, "strategy": "canary", "created_at": NOW}
    insert(rt, rollouts, **row, version=2, state="rolled_back")
    newest = insert(rt, rollouts, **row, version=2, state="running")
    for found in (facts.open_rollout(), facts.rollout_of(2)):
        assert found is not None
        assert found["id"] == newest


def test_registry_without_the_model_is_empty(mlflow_server: str):
    facts = RegistryFacts(mlflow_server, f"none_{uuid4().hex[:8]}")
    assert facts.alias("champion") is None
    assert facts.holders() == set()
    assert facts.versions() == []


def test_registry_tells_versions_aliases_and_metrics(mlflow_server: str):
    def post(path: str, **body: Any) -> dict[str, Any]:
        answer = httpx.post(f"{mlflow_server}/api/2.0/mlflow/{path}", json=body)
        answer.raise_for_status()
        return dict(answer.json())

    name = f"model_{uuid4().hex[:8]}"
    run = post("runs/create", experiment_id="0")["run"]["info"]["run_id"]
    post("runs/log-metric", run_id=run, key="roc_auc", value=0.71, timestamp=1)
    post("registered-models/create", name=name)
    for _ in range(2):
        post("model-versions/create", name=name, source=f"mlflow-artifacts:/0/{run}/artifacts/model", run_id=run)
    post("registered-models/alias", name=name, alias="champion", version="2")
    post("model-versions/set-tag", name=name, version="1", key="stage", value="Archived")
    facts = RegistryFacts(mlflow_server, name)
    assert facts.holders() == {2}
    assert [(one.version, one.stage, one.metrics) for one in facts.versions()] == [
        (1, "Archived", {"roc_auc": 0.71}),
        (2, "None", {"roc_auc": 0.71}),
    ]


def test_registry_that_is_away_is_named():
    with pytest.raises(SourceUnavailableError, match="MLflow at http"):
        RegistryFacts(f"http://127.0.0.1:{free_port()}", MODEL).alias("champion")


def test_summary_of_a_failed_job_says_what_is_known(rt: Runtime, story: Story, tmp_path: Path):
    before = story.tables.newest_ledger_id()
    rt.ledger.write(Entry(model=MODEL, kind="training", act="confirm training", reason="test", actor="test"))
    found = Chronicle(ledger_before=before, challenges=[Challenge("run", "schedule", None, "refused", "too bad")])
    with story.board.stage("Training 1", 10):
        pass
    summary = write_summary(tmp_path / "run" / "summary.json", story, found, "it stopped")
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == summary
    assert (summary["loop_closed"], summary["failure"], summary["champion_after"]) == (False, "it stopped", None)
    assert list(summary["seconds_per_stage"]) == ["Training 1"]
    assert any("too bad" in line for line in told(summary))


def test_loop_is_closed_only_by_an_event_driven_challenge():
    weekly = Challenge("a", "schedule", 2, "promoted", "")
    assert not Chronicle(challenges=[weekly]).closed
    assert Chronicle(challenges=[weekly, Challenge("b", "signal", 3, "rolled_back", "honestly lost")]).closed


def test_waiting_ends_with_the_stages_time_and_says_where(story: Story):
    with pytest.raises(DemoFailedError, match=r"stage 'Watch'.*the sunrise"), story.board.stage("Watch", 0) as stage:
        story.wait(stage, lambda: None, "the sunrise")
    assert story.board.stages[0].state == "failed"


def test_waiting_outlasts_a_source_that_comes_back(story: Story):
    calls = []

    def condition() -> int | None:
        calls.append(1)
        if len(calls) == 1:
            raise SourceUnavailableError("restarting")
        return 7

    with story.board.stage("Watch", 30) as stage:
        assert story.wait(stage, condition, "seven") == 7


def test_replay_that_ended_by_itself_is_a_failure_with_its_words(story: Story, tmp_path: Path):
    story.replay.home = Path.cwd()
    story.replay.environment = {"MODELOPS_CLOCK_FILE": str(tmp_path / "missing.json"), "MODELOPS_LOCAL": str(tmp_path)}
    story.replay.start()
    with (
        pytest.raises(SourceUnavailableError, match="the replay ended with exit code 1"),
        story.board.stage("Watch", 60) as stage,
    ):
        story.wait(stage, lambda: None, "nothing")
    assert story.replay.stop() == story.replay.totals()


def test_pace_changes_nothing_before_there_is_traffic(story: Story):
    story.pace(1000.0)
    assert not story.clock_file.exists()
