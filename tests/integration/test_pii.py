"""Personal data from a real database: no raw value in any file, in the ledger or in an error, and labels join all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import URL, select

from include.lifecycle.data.fetch import fetch_data
from include.lifecycle.data.preparation import prepare_data
from include.lifecycle.data.snapshot import restore_snapshot, snapshot_data
from include.lifecycle.data.validation import validate_data
from include.lifecycle.errors import DataInvalidError, SettingsError
from include.lifecycle.monitoring.labels import fetch_labels
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import ledger
from include.serving.pii import read_key
from tests.conftest import NOW, PostgresServer
from tests.integration.trips_source import QUERY, create_trips, trips_order, write_query
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
RAW = re.compile(rb"\bT\d+\b|\bC\d+\b|at 12:30")
LABELS = (
    "SELECT trip_id AS key, starts_at AS event_time, late::int AS label, known_at FROM trips WHERE starts_at >= :window_start"
)
SPOILED = QUERY.replace("t.late,", "CASE WHEN t.trip_id = 'T1700' THEN 7 ELSE t.late::int END AS late,")


@pytest.fixture(scope="module")
def source(postgres: PostgresServer) -> URL:
    return create_trips(postgres, 2000)


@pytest.fixture
def local(make_runtime: Callable[..., Runtime], tmp_path: Path) -> Runtime:
    write_query(tmp_path, SPOILED)
    (tmp_path / "include/sql/trips/labels.sql").write_text(LABELS)
    rt = make_runtime(MODELOPS_HOME=str(tmp_path), MODELOPS_PII_KEY_FILE=str(tmp_path / "pii-key"))
    rt.settings.pii_key_file.write_text("0123456789abcdef" * 4)
    return rt


def spec_with(**pii: str) -> ModelSpec:
    columns = {
        name: {"drift": "watch", "role": None, "method": None, "max_missing": None, "outliers": "watch", "pii": how}
        for name, how in pii.items()
    }
    return make_spec(columns=columns)


PROTECTED = spec_with(trip_id="hash", carrier="hash", note="drop")


def run(task: str) -> RunContext:
    return RunContext("trips", "r1", task)


def raw_values(root: Path) -> list[str]:
    """Files below `root` that hold a raw value; Parquet is read, since its pages are compressed."""
    found = []
    for path in root.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if content[:4] == b"PAR1":
            table = pq.read_table(pa.BufferReader(content))
            texts = [json.dumps(column.to_pylist(), default=str) for column in table.columns]
            content = " ".join([*table.column_names, *texts]).encode()
        if hit := RAW.search(content):
            found.append(f"{path}: {hit[0]!r}")
    return found


def test_the_search_finds_raw_values_where_nothing_is_protected(local: Runtime, source: URL):
    fetch_data(make_spec(), local, run("fetch_data"), trips_order(), source)
    assert raw_values(local.storage.root)


def test_no_raw_value_reaches_a_file_or_the_ledger(local: Runtime, source: URL):
    order = trips_order()
    fetched = fetch_data(PROTECTED, local, run("fetch_data"), order, source)
    checked = validate_data(PROTECTED, local, run("validate_data"), fetched)
    snapshot = snapshot_data(PROTECTED, local, run("snapshot_data"), checked.clean)
    prepared = prepare_data(PROTECTED, local, run("prepare_data"), order, checked.clean)
    restored = restore_snapshot(local, "trips", snapshot.pointer, local.settings.home / "back.parquet")
    assert checked.reasons == {"target_is_0_or_1(late)": 1}
    assert checked.quarantine is not None
    assert "note" not in fetched.columns
    keyed = read_key(local.settings.pii_key_file)
    assert pq.read_table(checked.quarantine)["trip_id"].to_pylist() == [keyed("T1700")]
    train = pq.read_table(prepared.train)
    assert "note" not in train.column_names
    assert set(train["carrier"].drop_null().to_pylist()) == {keyed(f"C{number}") for number in range(16)}
    assert pq.read_table(restored).num_rows == fetched.rows - 1 == checked.clean.rows
    assert raw_values(local.storage.root) == []
    with local.engine.begin() as connection:
        told = json.dumps([dict(row) for row in connection.execute(select(ledger)).mappings()], default=str)
    assert not RAW.search(told.encode())


def test_errors_show_hashes_only(local: Runtime, source: URL):
    spec = make_spec(
        columns=PROTECTED.model_dump(mode="json")["columns"],
        data={"expectations": [{"expect_column_unique_value_count_to_be_between": {"column": "carrier", "max_value": 2}}]},
    )
    fetched = fetch_data(spec, local, run("fetch_data"), trips_order(), source)
    strict = spec.model_copy(
        update={"data": spec.data.model_copy(update={"quarantine": spec.data.quarantine.model_copy(update={"max_share": 0.0})})}
    )
    with pytest.raises(DataInvalidError, match="data checks failed") as caught:
        validate_data(strict, local, run("validate_data"), fetched)
    assert not RAW.search(str(caught.value).encode())
    assert raw_values(local.storage.root) == []
    with local.engine.begin() as connection:
        rows = connection.execute(select(ledger).where(ledger.c.act == "validate data")).mappings().all()
    (noted,) = rows
    assert (noted["verdict"], noted["run_id"]) == ("fail", "r1")
    assert "quarantine_share: 1 of " in noted["reason"]
    assert not RAW.search(json.dumps(dict(noted), default=str).encode())


def test_a_protected_column_under_another_name_is_no_protected_column(local: Runtime, source: URL):
    with pytest.raises(DataInvalidError, match="pii: drop or hash are not returned: 'notes'; did you mean 'note'"):
        fetch_data(spec_with(notes="drop"), local, run("fetch_data"), trips_order(), source)


def test_without_its_key_nothing_is_fetched(local: Runtime, source: URL):
    local.settings.pii_key_file.unlink()
    with pytest.raises(SettingsError, match="MODELOPS_PII_KEY_FILE"):
        fetch_data(PROTECTED, local, run("fetch_data"), trips_order(), source)
    assert not run("fetch_data").folder(local.storage).exists()


def test_labels_join_on_hashed_keys(local: Runtime, source: URL):
    start = datetime(2013, 2, 1, tzinfo=UTC)
    labels = fetch_labels(PROTECTED, local.settings, source, start, start + timedelta(days=180), NOW)
    keyed = read_key(local.settings.pii_key_file)
    keys = {key for key, _ in labels.positions}
    assert len(keys) == 2000
    assert keyed("T17") in keys
    assert not any(RAW.search(key.encode()) for key in keys)
