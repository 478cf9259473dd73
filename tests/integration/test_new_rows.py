"""The trigger that watches new rows, on a real database and over restarts: it fires once, whoever starts it again and when."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, make_url, text

from include.lifecycle.clock import ShiftedClock, write_clock
from include.lifecycle.decisions.volume import count_statement, trained_until
from include.lifecycle.runtime import build_runtime
from include.lifecycle.runtime import runtime as process_runtime
from include.lifecycle.tables import signals, training_requests
from include.settings import settings as process_settings
from tests.conftest import NOW
from tests.integration.test_decide import rows_of

pytestmark = pytest.mark.integration
DAY = timedelta(days=1)
QUERY = """
SELECT visit_id, visited_at, age, ill FROM visits  -- a comment to the end
WHERE visited_at >= :window_start AND visited_at < :window_end;
"""
YAML = """
name: {name}
description: Visits
owner: clinic
tier: primary
data: {{connection: clinic_db, query: {name}.sql, key: visit_id, event_time: visited_at, target: ill, new_rows_threshold: 10}}
labels: {{query: {name}.sql, mature_after: 24h}}
features: {{numeric: [age]}}
objective: {{task: binary_classification, metric: roc_auc, floor: none}}
"""


class Store:
    """Airflow's asset state store as far as the trigger uses it; outlives the triggers, as the real one does."""

    def __init__(self):
        self.values = {}

    async def aget(self, key, default=None):
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key, value):
        self.values[key] = json.dumps(value)


class Lab:
    """Two models on one database of visits, trained until NOW - 1 day; the clock is moved by hand."""

    def __init__(self, postgres, rt, home):
        self.rt, self.home, self.store = rt, home, Store()
        self.url = postgres.url(postgres.create_database(), with_password=True)
        self.engine = create_engine(self.url)
        with self.engine.begin() as connection:
            connection.execute(text("CREATE TABLE visits (visit_id serial, visited_at timestamptz, age float, ill int)"))

    def visits(self, count, at):
        with self.engine.begin() as connection:
            statement = text("INSERT INTO visits (visited_at, age, ill) SELECT :at, 40, 0 FROM generate_series(1, :count)")
            connection.execute(statement, {"at": at, "count": count})

    def trained(self, model, until):
        from include.lifecycle.ledger import Entry

        with self.rt.engine.begin() as connection:
            values = {"model": model, "source": "schedule", "reason": "r", "state": "done", "requested_at": until}
            values |= {"requested_by": "x", "run_id": f"run-{until:%m%d}", "version": 1, "cause": {"cause": "schedule"}}
            connection.execute(training_requests.insert().values(values))
        evidence = {"order": {"window_end": until.isoformat()}, "forced": False}
        entry = Entry(model=model, kind="training", act="confirm training", reason="r", actor="x", evidence=evidence)
        self.rt.ledger.write(entry.model_copy(update={"run_id": f"run-{until:%m%d}"}))

    def at(self, moment):
        write_clock(self.home / "clock.json", ShiftedClock(moment, moment, 0.0))

    def watch(self, seconds=1.0):
        """Run the trigger for a while, as a triggerer that is then killed; the events that it fired."""
        return asyncio.run(asyncio.wait_for(_collect(self.store, seconds), seconds + 20))


async def _collect(store, seconds):
    from modelops.triggers.new_rows import NewRowsTrigger

    classpath, arguments = NewRowsTrigger().serialize()
    assert (classpath.rpartition(".")[2], arguments) == ("NewRowsTrigger", {})
    trigger, found = NewRowsTrigger(**arguments), []
    trigger.asset_state_store = store
    running = trigger.run()
    try:
        async with asyncio.timeout(seconds):
            async for fired in running:
                found.append(fired.payload)
    except TimeoutError:
        await running.aclose()
    return found


@pytest.fixture
def lab(postgres, make_runtime, tmp_path, monkeypatch):
    home = tmp_path / "home"
    for folder in ("include/models", "include/sql"):
        (home / folder).mkdir(parents=True)
    from include.settings import PROJECT_ROOT

    defaults = PROJECT_ROOT / "include/models/_defaults.yaml"
    (home / "include/models/_defaults.yaml").write_text(defaults.read_text())
    for name in ("asthma", "bronchitis"):
        (home / f"include/models/{name}.yaml").write_text(YAML.format(name=name))
        (home / f"include/sql/{name}.sql").write_text(QUERY)
    rt = make_runtime()
    environment = {
        "MODELOPS_HOME": str(home),
        "MODELOPS_LOCAL": str(tmp_path / "local"),
        "MODELOPS_DATABASE_URL": rt.settings.database_url,
        "MODELOPS_PASSFILE": str(rt.settings.passfile),
        "MODELOPS_CLOCK_FILE": str(home / "clock.json"),
        "MODELOPS_NEW_ROWS_POLL": "50ms",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    process_settings.cache_clear()
    process_runtime.cache_clear()
    lab = Lab(postgres, build_runtime(process_settings()), home)
    monkeypatch.setenv("AIRFLOW_CONN_CLINIC_DB", lab.url.replace("postgresql+psycopg2", "postgres"))
    lab.at(NOW)
    yield lab
    lab.engine.dispose()
    process_settings.cache_clear()
    process_runtime.cache_clear()


def test_it_fires_once_over_restarts(lab):
    lab.trained("asthma", NOW - DAY)
    lab.visits(9, NOW)
    lab.at(NOW + 2 * DAY)
    assert lab.watch() == []
    lab.visits(1, NOW + DAY / 2)  # while no triggerer runs
    fired = lab.watch()
    assert [(one["model"], one["rows"]) for one in fired] == [("asthma", 10)]
    assert lab.watch() == []
    (signal,) = rows_of(lab.rt, signals)
    assert (signal["kind"], signal["cause"], signal["effect"], signal["state"]) == ("volume", "volume:new_rows", 1.0, "open")
    assert "at least 10 new rows with final labels since 2013-07-31 00:00 UTC" in signal["evidence"]["reason"]
    lab.visits(10, NOW + 2 * DAY)
    lab.at(NOW + 5 * DAY)
    assert len(lab.watch()) == 1
    assert [row["effect"] for row in rows_of(lab.rt, signals)] == [2.0]


def test_rows_whose_labels_may_change_are_not_counted_yet(lab):
    lab.trained("asthma", NOW - DAY)
    lab.visits(50, NOW + DAY)
    lab.at(NOW + DAY + timedelta(hours=23))
    assert lab.watch() == []
    lab.at(NOW + 2 * DAY + timedelta(hours=1))
    assert len(lab.watch()) == 1


def test_a_crash_between_the_row_and_the_mark_raises_nothing_twice(lab):
    lab.trained("asthma", NOW - DAY)
    lab.visits(10, NOW)
    lab.at(NOW + 2 * DAY)
    assert len(lab.watch()) == 1
    lab.store.values.clear()
    assert lab.watch() == []
    assert [row["effect"] for row in rows_of(lab.rt, signals)] == [1.0]


def test_a_newer_training_starts_the_count_anew(lab):
    lab.trained("asthma", NOW - DAY)
    lab.visits(9, NOW)
    lab.trained("asthma", NOW + DAY)
    assert trained_until(lab.rt) == {"asthma": NOW + DAY}
    lab.visits(1, NOW + DAY + timedelta(hours=1))
    lab.at(NOW + 3 * DAY)
    assert lab.watch() == []


def test_a_model_that_was_never_trained_is_not_counted(lab):
    lab.visits(100, NOW)
    lab.at(NOW + 2 * DAY)
    assert lab.watch() == []


def test_all_models_of_a_connection_are_counted_by_one_statement(lab, monkeypatch):
    from include.lifecycle.decisions import volume
    from modelops.triggers.new_rows import _groups, look_at

    asked, statement = [], volume.count_statement
    monkeypatch.setattr(volume, "count_statement", lambda parts, dialect: asked.append(set(parts)) or statement(parts, dialect))

    for model in ("asthma", "bronchitis"):
        lab.trained(model, NOW - DAY)
    lab.visits(10, NOW)
    lab.at(NOW + 2 * DAY)
    ((place, specs),) = _groups().items()
    assert place == "database clinic_db"
    raised = look_at(specs, {})
    assert {one["model"] for one in raised} == {"asthma", "bronchitis"}
    assert all(one["new"] for one in raised)
    assert asked == [{"asthma", "bronchitis"}]


def test_a_statement_reads_each_query_no_further_than_its_threshold(lab):
    from include.lifecycle.data.training_source import training_rows
    from include.lifecycle.decisions import volume
    from include.lifecycle.loading import load_model

    spec, window = load_model("asthma"), (NOW - DAY, NOW)
    rows = training_rows(spec, lab.rt, volume._order(spec, window, lab.rt), make_url(lab.url), "new rows")
    statement = count_statement({"asthma": (rows, 10), "bronchitis": (rows, 7)}, "postgresql")
    assert statement.count("UNION ALL") == 1
    lab.visits(100, NOW - DAY / 2)
    with lab.engine.connect() as connection:
        assert dict(connection.execute(text(statement)).all()) == {"asthma": 10, "bronchitis": 7}


def test_a_broken_query_hides_no_other_model(lab, caplog):
    (lab.home / "include/sql/bronchitis.sql").write_text(QUERY.replace("age", "weight"))
    for model in ("asthma", "bronchitis"):
        lab.trained(model, NOW - DAY)
    lab.visits(10, NOW)
    lab.at(NOW + 2 * DAY)
    assert [one["model"] for one in lab.watch()] == ["asthma"]
    assert "bronchitis is left out of the count" in caplog.text


def test_a_source_that_is_down_is_asked_again(lab, monkeypatch, caplog):
    lab.trained("asthma", NOW - DAY)
    lab.visits(10, NOW)
    lab.at(NOW + 2 * DAY)
    url = lab.url.replace("postgresql+psycopg2", "postgres")
    monkeypatch.setenv("AIRFLOW_CONN_CLINIC_DB", url.replace(f":{lab.engine.url.port}/", ":1/"))
    assert lab.watch() == []
    assert "does not answer" in caplog.text
    monkeypatch.setenv("AIRFLOW_CONN_CLINIC_DB", url)
    assert len(lab.watch()) == 1


def test_without_a_store_it_fails_loudly():
    from modelops.triggers.new_rows import NewRowsTrigger

    async def first():
        return await anext(NewRowsTrigger().run())

    with pytest.raises(RuntimeError, match="asset state store"):
        asyncio.run(first())
