"""`cli replay-thresholds` on windows that were measured and decided on: the present settings give what happened."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import insert, make_url, select, text, update

from include.lifecycle.cli import main
from include.lifecycle.clock import FixedClock, ShiftedClock, write_clock
from include.lifecycle.decisions.decide import decide
from include.lifecycle.ledger import Entry
from include.lifecycle.loading import load_model
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import candidates, desired_traffic, metadata, rollouts, training_requests
from tests.integration.test_monitor import LABELS_SQL
from tests.unit.lifecycle.monitoring.examples import MODEL, START, log_lines, make_profile, make_table, write_log

DAY, HOURS = timedelta(days=1), timedelta(hours=7)
LIVE = START + timedelta(days=190)
RUN = RunContext(model=MODEL, run_id="run-1", task="monitor_model")
YAML = """\
name: rain
description: Will it rain?
owner: tests
tier: primary
risk: low
data: {connection: production_db, query: rain/training.sql, key: id, event_time: at, target: wet}
labels: {query: rain/labels.sql, mature_after: 6h}
features: {numeric: [wind, warmth], categorical: [city]}
objective: {task: binary_classification, metric: roc_auc, floor: 0.6}
monitoring: {window: 1d, minimum_rows: 200, minimum_labels: 150}
retraining: {schedule: none, confirm: {windows: 2, of: 3, spanning: 24h}}
"""
WEATHER = [{}, {}, {"warmer": 3.0}, {"warmer": 3.0}, {}, {}, {"rate_shift": -2.0}, {"rate_shift": -2.0}, {"rate_shift": -2.0}, {}]

HIGHER = ["--set", "drift.minimum_effect=5", "--set", "drift.act_effect=6"]


@pytest.fixture(scope="module")
def profile():
    return make_profile()


@pytest.fixture
def at(make_runtime, tmp_path):
    """Runtimes at moments; the model's files and the table of outcomes are there, and version 1 is champion since LIVE."""
    for folder in ("models", "sql/rain"):
        (tmp_path / "include" / folder).mkdir(parents=True)
    (tmp_path / "include/models/rain.yaml").write_text(YAML)
    (tmp_path / "include/sql/rain/labels.sql").write_text(LABELS_SQL)
    (tmp_path / "include/sql/rain/training.sql").write_text(
        "SELECT * FROM trips WHERE at >= :window_start AND at < :window_end\n"
    )
    write_clock(tmp_path / "clock.json", ShiftedClock(LIVE + 20 * DAY, LIVE + 20 * DAY, 0.0))

    def runtime(now):
        return make_runtime(FixedClock(now), MODELOPS_HOME=str(tmp_path), MODELOPS_CLOCK_FILE=str(tmp_path / "clock.json"))

    rt = runtime(LIVE)
    with rt.engine.begin() as connection:
        connection.execute(text("CREATE TABLE outcomes (id text, at timestamptz, wet int, known_at timestamptz)"))
        connection.execute(insert(desired_traffic).values(model=MODEL, revision=1, champion=1))
        connection.execute(insert(candidates).values(model=MODEL, version=1, state="done", verdict="pass", created_at=LIVE))
    return runtime


@pytest.fixture
def lived(at, postgres, profile):
    """Ten days lived: monitored and decided on each morning at seven."""
    spec = load_model(MODEL, settings=at(LIVE).settings)
    for day, changes in enumerate(WEATHER):
        start = LIVE + day * DAY
        frame, honest = make_table(1, start=start, per_day=400, seed=200 + day, **changes)
        rt = at(start + DAY + HOURS)
        write_log(rt.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1, name=day)
        rows = [{"id": row["id"], "at": row["at"].to_pydatetime(), "wet": int(row["wet"])} for _, row in frame.iterrows()]
        with rt.engine.begin() as connection:
            statement = text("INSERT INTO outcomes VALUES (:id, :at, :wet, :at + interval '3 hours')")
            connection.execute(statement, rows)
            connection.execute(update(training_requests).values(state="done"))  # a training takes less than a day
        access = make_url(postgres.url(rt.engine.url.database, with_password=True))
        monitor_model(spec, rt, RUN, access, profiles=lambda version: profile)
        decide([spec], rt, RUN)
    return at(LIVE + 20 * DAY)


def replayed(rt, capsys, *options, code=0):
    capsys.readouterr()
    assert main(["replay-thresholds", MODEL, *options], settings=rt.settings) == code
    return capsys.readouterr()


def told(rt, capsys, *options):
    return json.loads(replayed(rt, capsys, *options, "--json").out)


def contents(rt):
    with rt.engine.begin() as connection:
        return {name: connection.execute(select(table)).all() for name, table in metadata.tables.items()}


def days_with(found, course, word):
    return [one["day"] for one in found["days"] if any(text.startswith(word) for text in one[course])]


def test_a_week_by_other_thresholds(lived, capsys):
    before = contents(lived)
    found = told(lived, capsys, *HIGHER)
    assert found["changes"]["monitoring.drift.minimum_effect"] == {"from": 0.1, "to": 5}
    drift = f"{LIVE + 3 * DAY:%Y-%m-%d}"
    (first,) = [one for one in found["days"] if one["day"] == drift]
    assert "fired covariate:warmth" in first["happened"]
    assert "fired covariate:warmth" not in first["proposed"]
    for one in found["days"]:  # the present settings give what happened
        assert sorted(one["as_set"]) == sorted(one["happened"]), one
    totals = found["totals"]
    assert totals["as_set"] == totals["happened"]
    assert totals["proposed"]["fired"] < totals["as_set"]["fired"]
    assert totals["proposed"]["retrained"] == totals["as_set"]["retrained"] == 1
    assert contents(lived) == before

    lax = told(lived, capsys, "--set", "monitoring.performance.calibration_gap=0.6")
    assert (lax["totals"]["as_set"]["retrained"], lax["totals"]["proposed"]["retrained"]) == (1, 0)

    alone = told(lived, capsys, "--set", "retraining.covariate=retrain", "--set", "confirm.windows=1", "--set", "confirm.of=2")
    (trained,) = [one for one in alone["days"] if "retrained covariate:warmth" in one["proposed"]]
    assert trained["day"] < days_with(alone, "happened", "retrained")[0]

    asked = told(lived, capsys, "--set", "retraining.mode=suggest")
    assert (asked["totals"]["proposed"]["retrained"], asked["totals"]["proposed"]["asked"]) == (0, 1)

    weekly = told(lived, capsys, "--set", "retraining.schedule=0 2 * * *")
    assert weekly["totals"]["proposed"]["retrained"] > 5
    assert weekly["totals"]["proposed"]["refused"] > 0  # the month's budget

    late = told(lived, capsys, *HIGHER, "--since", f"{LIVE + 6 * DAY:%Y-%m-%d}")
    assert drift not in {one["day"] for one in late["days"]}
    assert late["totals"]["as_set"]["retrained"] == 1

    out = replayed(lived, capsys, *HIGHER).out
    assert "monitoring.drift.minimum_effect: 0.1 -> 5" in out
    assert "PROPOSED" in out


def test_a_rollout_by_another_limit(lived, capsys):
    with lived.engine.begin() as connection:
        values = {"model": MODEL, "version": 2, "champion": 1, "strategy": "canary", "state": "promoted", "created_at": LIVE}
        number = connection.execute(insert(rollouts).values(values).returning(rollouts.c.id)).scalar_one()
    seen = {"check": "performance", "outcome": "pass", "reason": "r", "evidence": {"drop_lower": 0.12, "limit": 0.2}}
    entry = Entry(model=MODEL, kind="rollout", act="shift_traffic", reason="step 2", actor="rollout:1", phase="done")
    key = {"idempotency_key": f"rollout:{number}:2", "evidence": {"verdicts": [seen]}}
    lived.ledger.write(entry.model_copy(update=key))
    found = told(lived, capsys, "--set", "rollout.limits.performance_drop=0.1", "--until", f"{LIVE + 21 * DAY:%Y-%m-%d}")
    assert (found["totals"]["as_set"]["rolled_back"], found["totals"]["proposed"]["rolled_back"]) == (0, 1)
    assert any(f"rolled back rollout {number}" in one["proposed"] for one in found["days"])


def test_what_is_refused(at, capsys):
    rt = at(LIVE)
    for options, said in (
        (["--set", "monitoring.window=2d"], "stored windows have the old length"),
        (["--set", "drift.minimum_efect=1"], "did you mean 'drift.minimum_effect'"),
        (["--set", "drift.minimum_effect=-1"], "allowed: at least 0"),
        (["--set", "drift.minimum_effect"], "KEY=VALUE"),
        (["--set", "window=2d"], "write one of them"),
        (["--policy", "/nowhere/policy.yaml"], "cannot be read"),
        ([], "nothing to try"),
        (["--set", "drift.minimum_effect=0.2", "--since", "2013-08-01", "--until", "2013-07-01"], "is not before"),
        (["--set", "drift.minimum_effect=0.2"], "no window was measured"),
    ):
        assert said in replayed(rt, capsys, *options, code=2).err, options
    assert main(["replay-thresholds", "rein", "--set", "drift.minimum_effect=0.2"], settings=rt.settings) == 2
    assert "rain" in capsys.readouterr().err
