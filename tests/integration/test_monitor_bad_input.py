"""What monitoring makes of bad input, on a real PostgreSQL and real log files: each has its outcome and hides no other check."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import make_url, text

from include.lifecycle.clock import FixedClock
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.monitoring.compaction import compact_predictions
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import signals, windows
from tests.integration.test_monitor import DAY, LABELS_SQL, LIVE, add_outcomes, rows_of, serve
from tests.unit.lifecycle.monitoring.examples import MODEL, log_lines, make_profile, make_spec, make_table, write_log

pytestmark = pytest.mark.integration
RUN = RunContext(model=MODEL, run_id="run-1", task="monitor_model")
AFTER = LIVE + DAY + timedelta(hours=7)


@pytest.fixture(scope="module")
def profile():
    return make_profile()


@pytest.fixture
def world(make_runtime, tmp_path):
    """A runtime a day and seven hours after LIVE, with the labels query in place and an empty outcomes table."""
    (tmp_path / "include" / "sql" / "rain").mkdir(parents=True)
    (tmp_path / "include" / "sql" / "rain" / "labels.sql").write_text(LABELS_SQL)
    rt = make_runtime(FixedClock(AFTER), MODELOPS_HOME=str(tmp_path))
    with rt.engine.begin() as connection:
        connection.execute(text("CREATE TABLE outcomes (id text, at timestamptz, wet int, known_at timestamptz)"))
    return rt


@pytest.fixture
def watch(world, postgres, profile):
    """Monitor once; return the only window's verdicts by check, or nothing."""

    def look(of=profile, **changes):
        url = make_url(postgres.url(world.engine.url.database, with_password=True))
        monitor_model(make_spec(**changes), world, RUN, url, profiles=lambda version: of)
        stored = [row for row in rows_of(world, windows) if row["rows"]]
        assert len(stored) <= 1
        return {verdict["check"]: verdict for row in stored for verdict in row["verdicts"]}

    return look


def log_of(rt, change=None, *, days: int = 1, edit=None):
    """Log a day of the example; `change` works on the table, `edit` on each line's object."""
    frame, honest = make_table(days, start=LIVE, per_day=400, seed=77)
    lines = log_lines(change(frame.copy()) if change else frame, honest, version=1)
    if edit:
        lines = [edit(number, line) for number, line in enumerate(lines)]
    write_log(rt.storage.predictions(MODEL), lines, version=1)
    return frame


def outcome(found, check: str) -> str:
    return found[check]["outcome"]


def features(line: str, **values) -> str:
    told = json.loads(line)
    return json.dumps(told | {"features": told["features"] | values})


def untouched(found, *but: str) -> None:
    """Every other column's fault and drift check was conclusive."""
    for column in {"wind", "warmth", "city"} - set(but):
        assert outcome(found, f"data_fault:{column}") == "pass"
        assert outcome(found, f"covariate:{column}") == "pass"


def test_no_traffic_is_no_error_and_no_pass(world, watch):
    assert watch() == {}
    assert rows_of(world, signals) == []


def test_no_labels_leave_performance_open_and_inputs_judged(world, watch):
    log_of(world)
    found = watch()
    assert {verdict["outcome"] for check, verdict in found.items() if check.startswith("decay")} == {"inconclusive"}
    untouched(found)


def test_labels_for_unknown_predictions_label_nothing(world, watch):
    frame = log_of(world)
    add_outcomes(world, frame.assign(id=[f"stranger-{n}" for n in range(len(frame))]), AFTER - timedelta(hours=1))
    untouched(watch())
    assert rows_of(world, windows)[0]["mature_rows"] == 0


def test_labels_that_came_twice_count_once_and_the_newest_wins(world, watch):
    frame = log_of(world)
    for wet, hours in ((1, 3), (1, 3), (0, 2)):
        add_outcomes(world, frame.assign(wet=wet), AFTER - timedelta(hours=hours))
    watch()
    (row,) = rows_of(world, windows)
    assert row["mature_rows"] == row["rows"] == 400
    assert row["measurements"]["performance"]["observed_rate"] == 0.0


def test_clocks_ahead_wait_and_labels_known_tomorrow_do_not_count(world, watch):
    frame = log_of(world)
    ahead, honest = make_table(1, start=AFTER + DAY, per_day=50, seed=5)
    write_log(world.storage.predictions(MODEL), log_lines(ahead, honest, version=1), version=1, name=2)
    add_outcomes(world, frame, AFTER + timedelta(hours=1))
    untouched(watch())
    (row,) = rows_of(world, windows)
    assert (row["rows"], row["mature_rows"]) == (400, 0)


@pytest.mark.parametrize(
    ("change", "edit", "fault"),
    [
        (lambda frame: frame.drop(columns="warmth"), None, "missing"),
        (lambda frame: frame.assign(warmth=None), None, "missing"),
        (None, lambda number, line: features(line, warmth="garbage"), "missing"),
        (None, lambda number, line: features(line, warmth=1e999), "missing"),
        (lambda frame: frame.assign(warmth=17.25), None, "stuck"),
        (lambda frame: frame.assign(warmth=frame["warmth"].where(frame.index % 3 == 0)), None, "nulls"),
    ],
    ids=["vanished", "all-null", "text", "infinite", "constant", "mostly-null"],
)
def test_a_broken_column_is_named_and_hides_no_other(world, watch, change, edit, fault):
    log_of(world, change, edit=edit)
    found = watch()
    told = found["data_fault:warmth"]
    assert (told["outcome"], told["evidence"]["fault"], told["evidence"]["rule"]) == ("fail", fault, f"data_fault.{fault}")
    assert outcome(found, "covariate:warmth") == "inconclusive"
    untouched(found, "warmth")
    (row,) = rows_of(world, windows)
    assert row["measurements"]["classification"]["class"] == "data_fault"
    assert "data_fault:warmth" in [signal["cause"] for signal in rows_of(world, signals)]


def test_infinite_predictions_hide_no_column(world, watch):
    log_of(world, edit=lambda number, line: json.dumps(json.loads(line) | {"prediction": float("inf") if number % 2 else 0.3}))
    found = watch()
    untouched(found)
    assert outcome(found, "prediction_drift") != "pass"


def test_a_profile_of_other_columns_judges_what_both_know(world, watch, profile):
    log_of(world)
    fewer = profile.model_copy(update={"numeric": {"wind": profile.numeric["wind"], "pressure": profile.numeric["warmth"]}})
    found = watch(fewer)
    assert outcome(found, "data_fault:wind") == outcome(found, "data_fault:city") == "pass"
    assert not {"data_fault:warmth", "data_fault:pressure"} & set(found)


def test_another_models_profile_judges_nothing(world, watch, profile):
    log_of(world)
    found = watch(profile.model_copy(update={"model": "snow"}))
    assert {verdict["outcome"] for verdict in found.values()} == {"inconclusive"}


def test_a_profile_from_before_the_newer_parts_judges_the_rest(world, watch, profile):
    log_of(world)
    old = profile.model_copy(update={"feed": None, "groups": [], "patterns": None, "inputs": None})
    found = watch(old)
    untouched(found)
    assert outcome(found, "security:extraction") == "inconclusive"


def test_a_torn_and_garbled_segment_loses_its_bad_lines_only(world, watch):
    log_of(world)
    path = next((world.storage.predictions(MODEL) / "segments").glob("*.jsonl"))
    lines = path.read_bytes().splitlines()
    lines[3] = lines[3][: len(lines[3]) // 2]
    lines[7] = b"\x00\xff\xfe garbage \x80"
    lines[9] = b"[1, 2]"
    path.write_bytes(b"\n".join(lines) + b"\n" + lines[20][:40])
    untouched(watch())
    assert rows_of(world, windows)[0]["rows"] == 397


def test_a_damaged_parquet_file_is_an_error_that_stores_nothing(world, watch):
    log_of(world)
    compact_predictions(world, make_spec(), now=AFTER)
    path = next((world.storage.predictions(MODEL) / "parquet").glob("*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceUnavailableError, match="prediction log"):
        watch()
    assert rows_of(world, windows) == []
    path.write_bytes(whole)
    untouched(watch())


def test_s3_that_is_down_stores_nothing_and_leaves_other_models_alone(world, postgres, profile, tmp_path):
    """Half of the window was shipped before S3 went away; another model of the same run has its log here."""
    log_of(world)
    compact_predictions(world, make_spec(), now=AFTER)
    folder = world.storage.predictions(MODEL)
    told = json.loads((folder / "manifest.json").read_text())
    told["files"][0]["location"] = "s3://nowhere/predictions/rain"
    (folder / "manifest.json").write_text(json.dumps(told))
    (tmp_path / "s3").write_text(
        "[modelops]\naws_access_key_id = AKIAEXAMPLEONLY\naws_secret_access_key = not-a-real-secret-4711\n"
    )
    (tmp_path / "s3").chmod(0o600)
    account = {
        "s3_endpoint": "http://127.0.0.1:9",
        "s3_region": "us-east-1",
        "s3_profile": "modelops",
        "s3_credentials": tmp_path / "s3",
    }
    away = replace(world, settings=replace(world.settings, **account))
    url = make_url(postgres.url(world.engine.url.database, with_password=True))
    with pytest.raises(SourceUnavailableError, match="prediction log"):
        monitor_model(make_spec(), away, RUN, url, profiles=lambda version: profile)
    assert rows_of(world, windows) == []
    frame, honest = make_table(1, start=LIVE, per_day=400, seed=78)
    write_log(world.storage.predictions("snow"), log_lines(frame, honest, version=1), version=1)
    other, snow = make_spec(name="snow"), profile.model_copy(update={"model": "snow"})
    found = monitor_model(other, away, RunContext(model="snow", run_id="r", task="t"), url, profiles=lambda version: snow)
    assert len(found.windows) == 1


def test_a_batch_that_was_sent_twice_is_a_fault_of_the_rows(world, watch):
    frame = serve(world, days=1)
    again = log_lines(frame.iloc[:80], np.full(80, 0.5), version=1)
    again = [json.dumps(json.loads(line) | {"request_id": f"again-{number}"}) for number, line in enumerate(again)]
    write_log(world.storage.predictions(MODEL), again, version=1, name=99)
    found = watch()
    assert found["data_fault:@rows"]["evidence"]["fault"] == "duplicates"
    untouched(found)
    watch()
    (signal,) = [row for row in rows_of(world, signals) if row["cause"] == "data_fault:@rows"]
    assert signal["state"] == "open"
