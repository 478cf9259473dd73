"""The prediction log on S3 (moto): shipped files are read like local ones, an outage costs nothing, a kill doubles nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from include.lifecycle.clock import FixedClock
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.loading import load_model
from include.lifecycle.monitoring.compaction import compact_predictions
from include.lifecycle.monitoring.log_folder import LogFolder
from include.lifecycle.monitoring.predictions import open_log
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.rollout.sources.base import Look
from include.lifecycle.rollout.sources.prediction_log import PredictionLogSource
from include.lifecycle.rollout.states import Cursor, Measurement, State, Status
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.serving.log_manifest import load_manifest
from tests.integration.s3_server import BUCKET, S3Server, s3_server
from tests.unit.lifecycle.rollout.test_metric_checks import limited
from tests.unit.serving.test_log_schema import START, line, segment

pytestmark = pytest.mark.integration
NOW = START + timedelta(hours=2)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    """A destination of the test's own."""
    spec = load_model("flight_delay")
    place = {"destination": f"s3://{BUCKET}/{request.node.name.replace('[', '-').replace(']', '')}"}
    return spec.model_copy(update={"prediction_log": spec.prediction_log.model_copy(update=place)})


@pytest.fixture
def rt(make_runtime: Callable[..., Runtime], s3: S3Server) -> Runtime:
    return make_runtime(FixedClock(NOW), **s3.environment)


def keys_read(rt: Runtime, spec: ModelSpec) -> list[Any]:
    with open_log(spec, rt.storage.predictions(spec.name), START, NOW, configured=rt.settings) as log:
        found = log.read(3, Window(START, NOW))
    assert found.features["distance"].tolist() == [float(key[1:]) for key in found.keys]
    return found.keys.tolist()


def test_shipped_files_are_read_from_there(rt: Runtime, spec: ModelSpec, s3: S3Server) -> None:
    folder = rt.storage.predictions(spec.name)
    segment(folder, "3-1-1.jsonl", line(1), line(2))
    assert compact_predictions(rt, spec, now=NOW).shipped == 1
    segment(folder, "3-1-2.jsonl", line(3), line(4, arm="shadow"))
    assert compact_predictions(rt, spec, now=NOW).shipped == 1
    segment(folder, "3-1-3.jsonl.open", line(5))
    assert keys_read(rt, spec) == ["k1", "k2", "k3", "k5"]
    assert compact_predictions(rt, spec, now=NOW).shipped == 1
    assert keys_read(rt, spec) == ["k1", "k2", "k3", "k5"]
    names = {file.name for file in load_manifest(folder).files}
    base = f"{spec.prediction_log.destination}/{spec.name}".removeprefix(f"s3://{BUCKET}/")
    assert {f"{base}/parquet/{name}" for name in names} | {f"{base}/manifest.json"} <= set(s3.objects())
    compact_predictions(rt, spec, now=NOW)
    assert list((folder / "parquet").glob("*.parquet")) == []


def test_a_rollout_counts_decisions_that_were_shipped_meanwhile(rt: Runtime, spec: ModelSpec) -> None:
    folder, began = rt.storage.predictions(spec.name), START.timestamp()
    both = [line(n, model_version=v, assigned_version=v, request_id=f"r{n}-{v}", prediction=0.9) for n in (1, 2) for v in (7, 8)]
    segment(folder, "8-1-1.jsonl", *both)
    for _ in range(2):  # the second takes the local copies away
        compact_predictions(rt, spec, now=NOW)
    assert list((folder / "parquet").glob("*.parquet")) == []
    plan = limited(model=spec.name)
    status = Status(state=State.RUNNING, weights={8: 10, 7: 90}, cursor=Cursor(since=began))
    found = PredictionLogSource().read(Look(rt, plan, status, Measurement(), Measurement(), began + 300))["actions"]
    assert (found.rows, found.positive, found.champion_rows) == (2, 2, 2)


def test_what_is_too_old_leaves_the_bucket(rt: Runtime, spec: ModelSpec, s3: S3Server) -> None:
    segment(rt.storage.predictions(spec.name), "3-1-1.jsonl", line(1))
    compact_predictions(rt, spec, now=NOW)
    later = NOW + spec.prediction_log.keep
    assert compact_predictions(rt, spec, now=later).expired_files == 1
    assert keys_read(rt, spec) == []
    compact_predictions(rt, spec, now=later)
    base = f"{spec.prediction_log.destination}/{spec.name}".removeprefix(f"s3://{BUCKET}/")
    assert [key for key in s3.objects() if key.startswith(base) and key.endswith(".parquet")] == []


def test_an_outage_leaves_the_rows_local_and_readable(
    make_runtime: Callable[..., Runtime], spec: ModelSpec, s3: S3Server
) -> None:
    down = make_runtime(FixedClock(NOW), **s3.environment | {"MODELOPS_S3_ENDPOINT": "http://127.0.0.1:9"})
    folder = down.storage.predictions(spec.name)
    (folder / "segments").mkdir(parents=True)
    (folder / "manifest.json").write_text('{"files": []}')
    segment(folder, "3-1-1.jsonl", line(1))
    with pytest.raises(SourceUnavailableError, match="flight_delay"):
        compact_predictions(down, spec, now=NOW)
    assert keys_read(down, spec) == ["k1"]
    up = make_runtime(FixedClock(NOW), **s3.environment)
    assert compact_predictions(up, spec, now=NOW).shipped == 1
    assert keys_read(up, spec) == ["k1"]
    with pytest.raises(SourceUnavailableError, match="prediction log"):
        keys_read(down, spec)


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("effect", ["_upload", "publish", "write", "delete"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_between_effects_on_s3(
    rt: Runtime, spec: ModelSpec, s3: S3Server, monkeypatch: pytest.MonkeyPatch, effect: str, when: str
) -> None:
    folder = rt.storage.predictions(spec.name)
    segment(folder, "3-1-1.jsonl", line(1))
    compact_predictions(rt, spec, now=NOW)
    segment(folder, "3-1-2.jsonl", line(2))
    original = getattr(LogFolder, effect)

    def dying(*arguments: Any) -> None:
        if when == "after":
            original(*arguments)
        raise KilledError(effect)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(LogFolder, effect, dying)
        compact_predictions(rt, spec, now=NOW)
    assert keys_read(rt, spec) == ["k1", "k2"]
    for _ in range(2):
        compact_predictions(rt, spec, now=NOW)
    assert keys_read(rt, spec) == ["k1", "k2"]
    base = f"{spec.prediction_log.destination}/{spec.name}".removeprefix(f"s3://{BUCKET}/")
    held = {Path(key).name for key in s3.objects() if key.startswith(f"{base}/parquet/") and key.endswith(".parquet")}
    assert held == {file.name for file in load_manifest(folder).files}
    assert sum(file.rows for file in load_manifest(folder).files) == 2
