"""The replay as the demo runs it: its own process, a real model server, a real database; serving sees what training will see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from include.demo.episodes import Episode
from include.demo.flights import in_sample, request_body, upcoming_flights
from include.demo.outside import set_clock, set_rate
from include.lifecycle.loading import load_model
from include.lifecycle.spec import ModelSpec
from include.serving.version_folder import GOLDEN, MODEL_FILES, SERVING, InputColumn, ServingSpec, write_manifest
from include.settings import PROJECT_ROOT, load_settings
from tests.conftest import PostgresServer, free_port
from tests.integration.demo_production import Production, create_production
from tests.unit.serving.running import RunningServer, eventually, running_server

CUT = Episode(1).cut
RATE = 28_800.0
SHARE = 0.1


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return load_model("flight_delay", settings=load_settings({}))


@pytest.fixture(scope="module")
def production(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Production:
    return create_production(postgres, tmp_path_factory.mktemp("production"))


@pytest.fixture(scope="module")
def version_folder(production: Production, spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A version fitted on a week of the demo's own history."""
    rows = production.query("flight_delay", "training", CUT - timedelta(days=7), CUT - timedelta(days=1), CUT)
    text = rows[spec.features.categorical].astype(object)
    table = pd.concat([rows[spec.features.numeric], text], axis=1)
    columns = [
        ("numeric", SimpleImputer(), spec.features.numeric),
        ("categorical", OneHotEncoder(handle_unknown="ignore"), spec.features.categorical),
    ]
    pipeline = Pipeline([("columns", ColumnTransformer(columns)), ("model", LogisticRegression(max_iter=50))])
    pipeline.fit(table, rows[spec.data.target])
    folder = tmp_path_factory.mktemp("version")
    skops.io.dump(pipeline, folder / MODEL_FILES["sklearn"])
    inputs = [InputColumn(name, "numeric") for name in spec.features.numeric]
    inputs += [InputColumn(name, "categorical") for name in spec.features.categorical]
    serving = ServingSpec(
        spec.name,
        1,
        "binary_classification",
        "sklearn",
        spec.data.key,
        spec.data.event_time,
        spec.data.target,
        (0, 1),
        tuple(inputs),
    )
    (folder / SERVING).write_text(serving.to_json())
    first = upcoming_flights(spec, production.url, production.passfile, CUT, CUT + timedelta(hours=12))[0]
    body = json.loads(request_body(spec, first))
    row = pd.DataFrame([first.features], columns=spec.features.all).astype(dict.fromkeys(spec.features.numeric, float))
    golden = {"inputs": body, "predictions": pipeline.predict_proba(row)[:, 1].tolist(), "tolerance": 1e-5}
    (folder / GOLDEN).write_text(json.dumps(golden))
    return folder, write_manifest(folder)


@pytest.fixture
def server(version_folder: tuple[Path, str], tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(*version_folder, tmp_path / "log") as running:
        yield running


@pytest.fixture
def replay(production: Production, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start the replay against an address; ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    set_clock(tmp_path / "clock.json", CUT, RATE)

    def start(gateway: str) -> subprocess.Popen[bytes]:
        environment = {
            "MODELOPS_LOCAL": str(tmp_path),
            "MODELOPS_DATABASE_URL": f"postgresql+psycopg2://modelops@127.0.0.1:{production.postgres.port}/modelops",
            "MODELOPS_PASSFILE": str(production.passfile),
            "MODELOPS_GATEWAY_URL": gateway,
            "MODELOPS_CLOCK_FILE": str(tmp_path / "clock.json"),
        }
        options = ["--episode", "1", "--share", str(SHARE), "--status", str(tmp_path / "replay.json")]
        command = [sys.executable, "-m", "include.demo.replay", *options]
        started.append(subprocess.Popen(command, cwd=PROJECT_ROOT, env=os.environ | environment))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def status(folder: Path) -> dict[str, Any]:
    file = folder / "replay.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def logged(folder: Path) -> pd.DataFrame:
    """Rows of the prediction log, features as columns."""
    rows = [json.loads(line) for file in (folder / "log" / "segments").iterdir() for line in file.read_text().splitlines()]
    return pd.DataFrame([{"flight_id": row["key"], "event_time": row["event_time"], **row["features"]} for row in rows])


def test_replayed_requests_hold_what_training_reads_later(
    production: Production, spec: ModelSpec, server: RunningServer, replay: Any, tmp_path: Path
):
    process = replay(str(server.client.base_url).rstrip("/"))
    assert eventually(lambda: status(tmp_path).get("sent", 0) >= 150, 40)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    last = status(tmp_path)
    assert (last["state"], last["failed"]) == ("stopped", 0)
    assert last["answered_by"] == {"1": last["sent"]}

    sent = logged(tmp_path).set_index("flight_id")
    assert len(sent) == last["sent"]
    assert sent.index.is_unique
    assert sent.index.map(lambda key: in_sample(key, SHARE)).all()
    now = datetime.fromisoformat(last["event_time"])
    trained = production.query("flight_delay", "training", CUT, now, now).set_index("flight_id")
    both = trained.index.intersection(sent.index)
    assert len(both) > 50, "flights that were sent and have landed since"
    for name in spec.features.numeric:
        assert np.array_equal(sent.loc[both, name].astype(float), trained.loc[both, name], equal_nan=True), name
    for name in spec.features.categorical:
        assert (sent.loc[both, name] == trained.loc[both, name]).all(), name
    times = pd.to_datetime(sent.loc[both, "event_time"], utc=True)
    assert (times == trained.loc[both, "scheduled_departure"]).all()


def test_client_failures_are_counted_and_never_tried_again(replay: Any, tmp_path: Path):
    nobody = free_port()
    process = replay(f"http://127.0.0.1:{nobody}")
    assert eventually(lambda: status(tmp_path).get("failed", 0) >= 5, 40)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    last = status(tmp_path)
    assert last["failed"] == last["sent"]
    assert "refused" in last["last_failure"].lower()


def test_clock_that_slows_down_is_followed_at_once(server: RunningServer, replay: Any, tmp_path: Path):
    process = replay(str(server.client.base_url).rstrip("/"))
    assert eventually(lambda: status(tmp_path).get("sent", 0) >= 20, 40)
    set_rate(tmp_path / "clock.json", 1.0)
    time.sleep(1.5)
    before = status(tmp_path)["sent"]
    time.sleep(2.5)
    assert status(tmp_path)["sent"] - before <= 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_replay_ends_with_the_process_that_started_it(production: Production, tmp_path: Path):
    set_clock(tmp_path / "clock.json", CUT, RATE)
    code = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-m', 'include.demo.replay', *sys.argv[1:]], start_new_session=True);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    environment = os.environ | {
        "MODELOPS_LOCAL": str(tmp_path),
        "MODELOPS_DATABASE_URL": f"postgresql+psycopg2://modelops@127.0.0.1:{production.postgres.port}/modelops",
        "MODELOPS_PASSFILE": str(production.passfile),
        "MODELOPS_GATEWAY_URL": f"http://127.0.0.1:{free_port()}",
        "MODELOPS_CLOCK_FILE": str(tmp_path / "clock.json"),
    }
    options = ["--episode", "1", "--share", "0.01", "--status", str(tmp_path / "replay.json")]
    parent = subprocess.Popen(
        [sys.executable, "-c", code, *options], cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert eventually(lambda: status(tmp_path).get("state") == "running", 40)
    parent.kill()
    parent.wait()
    assert eventually(lambda: status(tmp_path).get("state") == "stopped", 20)
    assert eventually(
        lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2], 10
    )


def test_sample_is_the_share_and_always_the_same():
    keys = [f"UA{number}-EWR-20130815-0600" for number in range(5000)]
    chosen = [key for key in keys if in_sample(key, 0.2)]
    assert 900 < len(chosen) < 1100
    assert chosen == [key for key in keys if in_sample(key, 0.2)]
    assert set(chosen) <= {key for key in keys if in_sample(key, 0.4)}


def test_upcoming_flights_come_in_order_and_within_their_bounds(production: Production, spec: ModelSpec):
    flights = upcoming_flights(spec, production.url, production.passfile, CUT, CUT + timedelta(hours=6))
    times = [flight.event_time for flight in flights]
    assert times == sorted(times)
    assert CUT <= times[0] <= times[-1] < CUT + timedelta(hours=6)
    assert times[0].tzinfo is not None
    assert times[0].astimezone(UTC) >= CUT
