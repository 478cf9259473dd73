"""Bringing one's own model: another database, a regression target, group folds, by YAML, SQL and a two-line Dag file."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest

from include.demo.airflow_client import ENDED, AirflowClient
from include.demo.facts import RegistryFacts, TableFacts
from include.lifecycle.runtime import build_runtime
from include.settings import PROJECT_ROOT
from include.stack.local import LocalStack
from tests.scenarios.own_model.trips import write_trips
from tests.scenarios.waiting import until

MODEL = "air_minutes"
TRAIN = f"train__{MODEL}"
FILES = Path(__file__).parent / "own_model"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".local", ".*_cache", ".hypothesis", "__pycache__", "tests", "docs")
DAG = f'"""The airflow DAGs of {MODEL}."""\n\nfrom modelops.builders import build\n\nbuild("{MODEL}", globals())\n'


@pytest.fixture
def own_home() -> Iterator[Path]:
    """A tree with one more model, in a folder that a stack under root can read."""
    home = Path(tempfile.mkdtemp(prefix="modelops-own-")) / "home"
    shutil.copytree(PROJECT_ROOT, home, ignore=LEFT_OUT)
    home.parent.chmod(0o755)
    shutil.copy(FILES / "air_minutes.yaml", home / "include" / "models")
    (home / "include" / "sql" / MODEL).mkdir()
    for name in ("training.sql", "labels.sql"):
        shutil.copy(FILES / name, home / "include" / "sql" / MODEL)
    (home / "dags" / f"{MODEL}.py").write_text(DAG, encoding="utf-8")
    yield home
    shutil.rmtree(home.parent)


@pytest.fixture
def own_stack(own_home: Path) -> Iterator[LocalStack]:
    """A running stack of that tree."""
    local = Path(tempfile.mkdtemp(prefix="modelops-scenario-"))
    stack = LocalStack.at(local, home=own_home)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
        stack.layout.remove()


def connect(http: httpx.Client, database: Path) -> None:
    """The connection that the YAML names, as a user makes it in the UI."""
    body = {"connection_id": "trips_db", "conn_type": "sqlite", "host": str(database)}
    http.post("/api/v2/connections", json=body).raise_for_status()


def ask(url: str, model: str) -> dict[str, object]:
    """One flight from EWR to BOS through the gateway."""
    inputs = [{"name": "distance", "shape": [1], "datatype": "FP64", "data": [200.0]}]
    inputs += [
        {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}
        for name, value in (("carrier", "B6"), ("origin", "EWR"), ("dest", "BOS"), ("hour", "h09"))
    ]
    answer = httpx.post(f"{url}/v2/models/{model}/infer", json={"inputs": inputs}, timeout=10)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_yaml_and_sql_are_enough(own_stack: LocalStack):
    stack = own_stack
    database = stack.layout.home / "trips.db"
    write_trips(database, pd.Timestamp("2013-08-01", tz="UTC"))
    facts = TableFacts(build_runtime(stack.settings).engine, MODEL)
    with stack.airflow() as http:
        connect(http, database)
        airflow = AirflowClient(http)
        assert airflow.import_errors() == []
        airflow.unpause_all()
        airflow.trigger(TRAIN, "first", {"reason": "a model of our own"})
        state = until(lambda: (found := airflow.state(TRAIN, "first")) in ENDED and found, 420, "the first training")
        assert state == "success", airflow.failure(TRAIN, "first")
        until(lambda: (row := facts.rollout_of(1)) and row["state"] in ("baking", "promoted"), 180, "the first rollout")
    registry = RegistryFacts(stack.settings.mlflow_url, MODEL)
    assert registry.alias("champion") == 1
    answered = ask(stack.settings.gateway_url, MODEL)
    predicted = next(output for output in answered["outputs"] if output["name"] == "prediction")["data"][0]  # type: ignore[index]
    assert 25 < predicted < 60, json.dumps(answered)  # flights to Boston are in the air for 39 minutes on average
