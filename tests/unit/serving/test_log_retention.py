"""Retention of the prediction log: by its newest row, never what labels, monitoring, an open signal or an open rollout need."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

from include.lifecycle.cli import main
from include.lifecycle.clock import FixedClock
from include.lifecycle.database import transaction
from include.lifecycle.loading import load_model
from include.lifecycle.monitoring.log_retention import plan_expiry
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import rollouts, signals
from include.serving.log_manifest import CompactedFile, Manifest
from tests.unit.serving.test_log_schema import START

KEEP = load_model("flight_delay").prediction_log.keep
NOW = START + timedelta(days=1000)


def spec_with(keep: str = "400d", window: str = "7d") -> ModelSpec:
    plain = load_model("flight_delay").model_dump(mode="json")
    plain["prediction_log"]["keep"] = keep
    plain["monitoring"]["window"] = window
    return ModelSpec.model_validate(plain)


def file(newest: datetime, rows: int = 3) -> CompactedFile:
    return CompactedFile(f"{newest:%Y%m%d}.parquet", [], rows, START.isoformat(), newest.isoformat())


def planned(rt: Runtime, spec: ModelSpec, *ages: timedelta) -> tuple[list[str], str]:
    plan = plan_expiry(rt, spec, [file(NOW - age) for age in ages], NOW)
    return [one.name for one in plan.files], plan.reason


DAY = timedelta(days=1)


def test_the_newest_row_decides(rt: Runtime) -> None:
    names, reason = planned(rt, spec_with(), KEEP - DAY, KEEP, KEEP + timedelta(seconds=1))
    assert names == [f"{NOW - KEEP - timedelta(seconds=1):%Y%m%d}.parquet"]
    assert reason == "prediction_log.keep is 400d"


def test_what_monitoring_looks_back_on_stays_whatever_keep_says(rt: Runtime) -> None:
    spec = spec_with(keep="1d", window="7d")  # 14 windows, and one until labels are mature
    names, reason = planned(rt, spec, 104 * DAY, 106 * DAY)
    assert names == [f"{NOW - 106 * DAY:%Y%m%d}.parquet"]
    assert "monitoring looks back 105d" in reason


def test_files_without_rows_go_at_once(rt: Runtime) -> None:
    empty = CompactedFile("empty.parquet", [], 0, None, None)
    assert [one.name for one in plan_expiry(rt, spec_with(), [empty, file(NOW)], NOW).files] == ["empty.parquet"]


@pytest.mark.parametrize(("state", "kept"), [("open", True), ("resolved", False)])
def test_an_open_signal_keeps_its_windows(rt: Runtime, state: str, kept: bool) -> None:
    seen = NOW - 300 * DAY
    row = {"model": "flight_delay", "kind": "decay", "cause": "c", "effect": 0.1, "state": state, "severity": "P1"}
    with transaction(rt.engine) as connection:
        connection.execute(signals.insert().values(row | {"first_seen": seen, "last_seen": seen}))
    age = 300 * DAY + 110 * DAY  # a window that the signal was measured in: beyond keep, within what it looked back on
    names, reason = planned(rt, spec_with(), age)
    assert (names == []) is kept
    assert ("a signal is open since" in reason) is kept
    assert planned(rt, spec_with(), 300 * DAY + 140 * DAY)[0] != [], "older than anything that the signal saw"


@pytest.mark.parametrize(("state", "kept"), [("running", True), ("promoted", False)])
def test_an_open_rollout_keeps_what_it_measures_on(rt: Runtime, state: str, kept: bool) -> None:
    values = {"model": "flight_delay", "version": 3, "strategy": "ab_test", "state": state, "created_at": NOW - 450 * DAY}
    with transaction(rt.engine) as connection:
        connection.execute(rollouts.insert().values(values))
    names, reason = planned(rt, spec_with(), 440 * DAY)
    assert (names == []) is kept
    assert ("a rollout is open since" in reason) is kept


def test_the_command_tells_what_would_go_and_changes_nothing(
    rt: Runtime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = rt.storage.predictions("flight_delay")
    folder.mkdir(parents=True)
    manifest = Manifest([file(NOW - KEEP - DAY), file(NOW)]).text()
    (folder / "manifest.json").write_text(manifest)
    monkeypatch.setattr("include.lifecycle.runtime.SystemClock", lambda: FixedClock(NOW))
    monkeypatch.setenv("MODELOPS_STORAGE", str(rt.settings.storage))
    monkeypatch.setenv("MODELOPS_DATABASE_URL", rt.settings.database_url)
    monkeypatch.setenv("MODELOPS_PASSFILE", str(rt.settings.passfile))
    assert main(["prediction-log", "flight_delay", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "retention would remove 1 files with 3 rows" in told
    assert "prediction_log.keep is 400d" in told
    assert main(["prediction-log", "flight_delay", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert [one["rows"] for one in plain["places"]] == [6]
    assert [one["name"] for one in plain["expiry"]["files"]] == [f"{NOW - KEEP - DAY:%Y%m%d}.parquet"]
    assert (folder / "manifest.json").read_text() == manifest
    assert main(["prediction-log", "flight_delay", "--apply", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["applied"]["expired_files"] == 1
    assert [one.name for one in Manifest.parse((folder / "manifest.json").read_text()).files] == [f"{NOW:%Y%m%d}.parquet"]
