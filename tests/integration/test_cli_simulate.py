"""`cli simulate` on a source whose outcome turns round at a known day: alarm, retraining, promotion, less regret than never."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from include.lifecycle.cli import main
from include.lifecycle.clock import ShiftedClock, write_clock
from include.lifecycle.database import transaction
from include.lifecycle.runtime import Runtime
from tests.conftest import NOW
from tests.integration.trips_source import run_sql, write_query

pytestmark = pytest.mark.integration
BREAK = "2013-05-20"
YAML = """\
name: trips
description: Will this trip end late?
owner: tests
tier: primary
data:
  {connection: trips_db, query: trips/training.sql, key: trip_id, event_time: starts_at, target: late, window: 18d, holdout: 0.4}
labels: {query: trips/labels.sql}
features: {numeric: [wind, hour]}
objective: {task: binary_classification, metric: roc_auc, floor: 0.55}
training: {estimators: [logistic_regression], trials: 2, folds: 2}
evaluation: {resamples: 100, slice_search: {act: "off"}}
monitoring: {minimum_rows: 100, minimum_labels: 100, window: 1d}
retraining: {schedule: none, cooldown: 6d, confirm: {windows: 14, of: 16, spanning: 12d}}
"""
# wind makes trips late, until the break turns it round
TABLE = f"""
SELECT setseed(0.3);
CREATE TABLE trips AS
SELECT 'T' || i AS trip_id, at AS starts_at, wind, (random() * 23)::int AS hour,
       (random() < CASE WHEN (wind > 15) = (at < timestamptz '{BREAK} 00:00+00') THEN 0.8 ELSE 0.2 END) AS late
FROM (SELECT i, timestamptz '2013-03-01 00:00+00' + i * interval '10 minutes' AS at, random() * 30 AS wind
      FROM generate_series(0, 20000) AS i) AS made
"""
QUERY = "SELECT * FROM trips WHERE starts_at >= :window_start AND starts_at < :window_end\n"


@pytest.fixture
def rt(make_runtime, tmp_path: Path) -> Runtime:
    home = tmp_path / "home"
    write_query(home, QUERY)
    (home / "include/models").mkdir(parents=True)
    (home / "include/models/trips.yaml").write_text(YAML)
    (home / "include/sql/trips/labels.sql").write_text("SELECT 1\n")
    write_clock(tmp_path / "clock.json", ShiftedClock(datetime.now(UTC), NOW, 1.0))
    return make_runtime(MODELOPS_HOME=str(home), MODELOPS_CLOCK_FILE=str(tmp_path / "clock.json"))


@pytest.fixture
def url(postgres) -> str:
    name = postgres.create_database()
    run_sql(postgres, name, TABLE)
    return postgres.url(name)


def replayed(rt: Runtime, url: str, capsys, *options: str) -> dict:
    capsys.readouterr()
    span = ["--from", "2013-05-01", "--to", "2013-07-05", "--trials", "1"]
    code = main(["simulate", "trips", *span, "--url", url, "--json", *options], settings=rt.settings)
    told = capsys.readouterr()
    assert code == 0, told.err
    return json.loads(told.out)


def rows_of(rt: Runtime) -> dict[str, int]:
    with transaction(rt.engine) as connection:
        names = inspect(connection).get_table_names()
        return {name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in names}


def test_a_break_is_seen_trained_for_and_worth_it(rt: Runtime, url: str, capsys) -> None:
    before = rows_of(rt)
    found = replayed(rt, url, capsys)
    alarms = [event for event in found["timeline"] if event["kind"] == "alarm" and event["subject"].startswith("decay:")]
    promotions = [event for event in found["timeline"] if event["kind"] == "promotion"]
    acted = [event["at"] for event in found["timeline"] if (event["kind"], event["subject"]) == ("decision", "retrain")]
    assert any(event["at"] > BREAK for event in alarms)
    assert promotions, found["timeline"]
    assert BREAK < acted[0] <= promotions[0]["at"]
    policy, never = found["strategies"]["policy"], found["strategies"]["never"]
    assert found["regret"]["never"] < -0.1  # the policy was that much better
    assert policy["roc_auc"] > never["roc_auc"] + 0.1
    assert (never["trainings"], never["promotions"]) == (0, 0)
    assert 0 < policy["trainings"] < found["strategies"]["always"]["trainings"] == 9
    quiet = [row for row in found["windows"] if row["start"] < "2013-05-17"]
    assert quiet
    assert all(row["policy"] == row["never"] for row in quiet)
    assert rows_of(rt) == before
    assert not (rt.settings.storage / "artifacts").exists()

    again = replayed(rt, url, capsys)
    for one in (found, again):
        for strategy in one["strategies"].values():
            strategy.pop("cpu_seconds")
    assert found == again


def test_another_policy_is_laid_over_the_models_own(rt: Runtime, url: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "off.yaml").write_text("retraining: {mode: 'off'}\n")
    found = replayed(rt, url, capsys, "--policy", str(tmp_path / "off.yaml"), "--always-every", "21d")
    assert found["strategies"]["policy"]["trainings"] == 0
    assert found["regret"]["never"] == 0
    assert found["strategies"]["always"]["trainings"] == 3
    assert {event["subject"] for event in found["timeline"] if event["kind"] == "decision"} >= {"refuse"}


def test_the_table_for_people_and_what_cannot_be_replayed(rt: Runtime, url: str, capsys) -> None:
    code = main(
        ["simulate", "trips", "--from", "2013-05-01", "--to", "2013-05-08", "--trials", "1", "--url", url], settings=rt.settings
    )
    out = capsys.readouterr().out
    assert code == 0
    assert "regret against never retraining: +0.0000 roc_auc" in out
    for span, told in (
        (["--from", "2013-05-08", "--to", "2013-05-01"], "is not before"),
        (["--from", "2013-05-01", "--to", "2013-05-01T12:00"], "no whole window"),
        (["--from", "2013-03-02", "--to", "2013-03-20"], "trips"),
    ):
        assert main(["simulate", "trips", *span, "--url", url], settings=rt.settings) == 2
        assert told in capsys.readouterr().err
