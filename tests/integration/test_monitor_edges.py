"""Windows and signals at the edges: slow traffic by count, columns that are no longer watched or that changed their kind."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from include.lifecycle.monitoring.signals import _watched
from include.lifecycle.tables import ledger, signals, windows
from tests.integration.rain_lab import LIVE, look, rainy_world
from tests.unit.lifecycle.monitoring.examples import MODEL, log_lines, make_profile, make_spec, make_table, write_log

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def profile():
    return make_profile()


@pytest.fixture
def world(make_runtime, tmp_path):
    return rainy_world(make_runtime, tmp_path)


def serve(rt, *, days=1, per_day=400, seed=77, start=LIVE, edit=None, **changes):
    frame, honest = make_table(days, start=start, per_day=per_day, seed=seed, **changes)
    if edit:
        edit(frame)
    write_log(rt.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1, name=seed)
    return frame


def stored(rt, table):
    with rt.engine.begin() as connection:
        return list(connection.execute(select(table).order_by(table.c.id)).mappings())


def test_slow_windows_by_count_are_neither_lost_nor_measured_twice(world, postgres, profile):
    """A window by count may last longer than the look-back of 15 days: 10 rows a day, 200 per window."""
    spec = make_spec(monitoring={"window_by": "count", "window_rows": 200, "minimum_rows": 200})
    serve(world(LIVE), days=70, per_day=10)
    for day in range(2, 71, 4):
        look(world(LIVE + day * DAY), postgres, spec, profile)
    found = stored(world(LIVE), windows)
    assert [row["rows"] for row in found] == [200, 200, 200]
    assert [row["window_end"] for row in found[:-1]] == [row["window_start"] for row in found[1:]]


def test_a_faulted_column_that_is_no_longer_watched_raises_nothing(world, postgres, profile):
    def _gone(frame):
        frame["warmth"] = float("nan")

    serve(world(LIVE), days=3, edit=_gone)
    look(world(LIVE + 2 * DAY), postgres, make_spec(), profile)
    ignored = make_spec(
        columns={
            "warmth": {"drift": "ignore", "role": None, "method": None, "max_missing": None, "outliers": "ignore", "pii": "keep"}
        }
    )
    look(world(LIVE + 2 * DAY), postgres, ignored, profile)
    for hours in range(4):
        look(world(LIVE + 3 * DAY + timedelta(hours=hours)), postgres, ignored, profile)
    rows = stored(world(LIVE), signals)
    assert [(row["cause"], row["state"]) for row in rows] == [("data_fault:warmth", "expired")]
    acts = [row["act"] for row in stored(world(LIVE), ledger) if "data_fault" in row["act"]]
    assert acts == ["opened signal data_fault:warmth", "expired signal data_fault:warmth"]


@pytest.mark.parametrize(
    "features",
    [
        {"numeric": ["wind"], "categorical": ["city"]},
        {"numeric": ["wind"], "categorical": ["city", "warmth"]},
        {"numeric": ["wind", "warmth", "rain"], "categorical": ["city"]},
        {"numeric": ["wind", "warmth", "city"], "categorical": []},
    ],
)
def test_a_version_with_other_features_than_the_specs_hides_nothing(world, postgres, profile, features):
    serve(world(LIVE), days=1, per_day=400)
    look(world(LIVE + DAY), postgres, make_spec(features=features), profile)
    (row,) = stored(world(LIVE), windows)
    outcomes = {verdict["check"]: verdict["outcome"] for verdict in row["verdicts"]}
    assert row["rows"] == 400
    assert outcomes["covariate:wind"] == "pass"
    assert [check for check, outcome in outcomes.items() if outcome == "fail"] == []  # nor does it call a changed YAML a fault
    assert not [verdict for verdict in row["verdicts"] if verdict["reason"].startswith("the check broke")]


def test_a_prometheus_that_hangs_is_waited_for_once_per_look(world, postgres, profile):
    """Three numbers of three windows: asked one by one they would wait 18 seconds."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        rt = world(LIVE + 3 * DAY)
        rt = replace(rt, settings=replace(rt.settings, prometheus_url=f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        serve(rt, days=3)
        began = time.monotonic()
        look(rt, postgres, make_spec(), profile)
        took = time.monotonic() - began
    reasons = [one for row in stored(rt, windows) for one in row["verdicts"] if one["check"].startswith("resources:")]
    assert [one["outcome"] for one in reasons] == ["inconclusive"] * 9
    assert all("did not answer" in one["reason"] for one in reasons)
    assert took < 10


def test_what_is_no_longer_asked_for_expires_and_stays_away():
    spec = make_spec(monitoring={"business": [{"name": "sales", "query": "rain/sales.sql"}], "labels": {"max_unknown": 1}})
    asked = ["business:sales", "labels:coverage", "labels:conflicts", "resources:cpu", "data_fault:@rows", "decay:roc_auc"]
    assert [cause for cause in asked if not _watched(spec, cause)] == []
    gone = ["business:visits", "labels:unknown", "resources:latency_p95", "decay:floor_accuracy", "covariate:height"]
    assert [cause for cause in gone if _watched(spec, cause)] == []
