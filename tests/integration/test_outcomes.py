"""What comes of predictions, on a real PostgreSQL and Prometheus: estimates, silence, labels, business, resources."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas
import pytest
from sqlalchemy import make_url, select, text

from include.lifecycle.cli import main
from include.lifecycle.clock import FixedClock, ShiftedClock, write_clock
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.monitoring.outcomes.resources import PrometheusUsage
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import desired_traffic, signals, windows
from tests.conftest import free_port
from tests.unit.lifecycle.monitoring.examples import MODEL, START, log_lines, make_profile, make_spec, make_table, write_log

pytestmark = pytest.mark.integration
DAY = timedelta(days=1)
LIVE = START + timedelta(days=190)
RUN = RunContext(model=MODEL, run_id="run-1", task="monitor_model")
LABELS_SQL = """SELECT id AS key, at AS event_time, wet AS label, known_at FROM outcomes
WHERE at >= :window_start AND at < :window_end;"""
SALES_SQL = "SELECT sum(amount) AS value FROM sales WHERE at >= :window_start AND at < :window_end"

YAML = """\
name: rain
description: Will it rain?
owner: tests
tier: primary
data: {connection: production_db, query: rain/t.sql, key: id, event_time: at, target: wet}
labels: {query: rain/labels.sql, mature_after: 6h}
features: {numeric: [wind, warmth], categorical: [city]}
objective: {task: binary_classification, metric: roc_auc, floor: 0.6}
"""


@pytest.fixture(scope="module")
def profile():
    return make_profile()


@pytest.fixture
def world(make_runtime, postgres, tmp_path):
    """A runtime at any time, with labels and sales to ask for."""
    (tmp_path / "include" / "sql" / "rain").mkdir(parents=True)
    (tmp_path / "include" / "sql" / "rain" / "labels.sql").write_text(LABELS_SQL)
    (tmp_path / "include" / "sql" / "rain" / "sales.sql").write_text(SALES_SQL)

    def at(now: datetime):
        return make_runtime(FixedClock(now), MODELOPS_HOME=str(tmp_path))

    with at(LIVE).engine.begin() as connection:
        connection.execute(text("CREATE TABLE outcomes (id text, at timestamptz, wet int, known_at timestamptz)"))
        connection.execute(text("CREATE TABLE sales (at timestamptz, amount numeric)"))
    return at


@pytest.fixture
def watch(postgres, profile):
    def look(rt, spec=None):
        url = make_url(postgres.url(rt.engine.url.database, with_password=True))
        return monitor_model(spec or make_spec(), rt, RUN, url, profiles=lambda version: profile)

    return look


def serve(rt, *, days=2, factor=1.0, seed=77):
    """Log days of predictions from LIVE on, with logits times `factor`; return the table behind them."""
    frame, honest = make_table(days, start=LIVE, per_day=400, seed=seed)
    said = 1 / (1 + np.exp(-np.log(honest / (1 - honest)) * factor))
    write_log(rt.storage.predictions(MODEL), log_lines(frame, said, version=1), version=1, name=seed)
    return frame


def add_outcomes(rt, rows) -> None:
    with rt.engine.begin() as connection:
        connection.execute(text("INSERT INTO outcomes VALUES (:id, :at, :wet, :known_at)"), rows)


def outcomes_of(frame, known_at=None, flip=False):
    return [
        {
            "id": row["id"],
            "at": row["at"].to_pydatetime(),
            "wet": int(row["wet"]) ^ flip,
            "known_at": known_at or row["at"].to_pydatetime() + timedelta(hours=1),
        }
        for _, row in frame.iterrows()
    ]


def causes(rt, state="open"):
    with rt.engine.begin() as connection:
        return {row.cause: dict(row.evidence) for row in connection.execute(select(signals).where(signals.c.state == state))}


def stored(rt):
    with rt.engine.begin() as connection:
        return list(connection.execute(select(windows).order_by(windows.c.id)).mappings())


def remember_weeks(rt, rows=400, weeks=3):
    """The champion answered in the same windows of the weeks before."""
    with rt.engine.begin() as connection:
        connection.execute(desired_traffic.insert().values(model=MODEL, revision=1, champion=1))
        for week in range(1, weeks + 1):
            for day in range(2):
                start = LIVE + day * DAY - week * timedelta(weeks=1)
                values = {"model": MODEL, "version": 1, "window_start": start, "window_end": start + DAY, "revision": 1}
                measured = {"measured_at": (start + 2 * DAY).isoformat()}
                values |= {"rows": rows, "mature_rows": rows, "health_parts": {}, "measurements": measured, "verdicts": []}
                connection.execute(windows.insert().values(values))


def test_an_estimated_decay_stands_until_labels_measure_it(world, watch):
    early, later = world(LIVE + 2 * DAY), world(LIVE + 2 * DAY + timedelta(hours=7))
    spec = make_spec(labels={"mature_after": "2d"})
    frame = serve(early, factor=0.25)
    watch(early, spec)
    found = causes(early)["estimated_decay:roc_auc"]
    assert found["band_lower"] < found["value"] < found["band_upper"] < 0.8
    assert found["rung"] == "rollback"
    assert "decay:roc_auc" not in causes(early)
    add_outcomes(later, outcomes_of(frame))
    watch(world(LIVE + 5 * DAY), spec)
    assert "estimated_decay:roc_auc" in causes(later, "resolved")
    newest = {verdict["check"]: verdict["outcome"] for verdict in stored(later)[-1]["verdicts"]}
    assert newest["decay:roc_auc"] != "inconclusive"
    assert "estimated_decay:roc_auc" not in newest


def test_silence_is_a_window_and_a_signal_until_requests_come(world, watch):
    rt = world(LIVE + DAY)
    remember_weeks(rt)
    watch(rt)
    (silent,) = [row for row in stored(rt) if row["window_start"] == LIVE]
    assert (silent["rows"], silent["version"], silent["health"]) == (0, 1, None)
    assert "traffic:rows" in causes(rt)
    assert watch(rt).windows == []
    serve(rt)  # what a server had kept back
    watch(world(LIVE + 2 * DAY))
    revisions = [(row["revision"], row["rows"]) for row in stored(rt) if row["window_start"] == LIVE]
    assert [(one, rows > 350) for one, rows in revisions] == [(1, False), (2, True)]
    assert "traffic:rows" in causes(rt, "resolved")


def test_labels_that_stay_away_are_told_and_performance_is_not_judged(world, watch):
    rt = world(LIVE + 4 * DAY)
    remember_weeks(rt, weeks=2)
    frame = serve(rt)
    add_outcomes(rt, outcomes_of(frame.iloc[::5], flip=True))
    watch(rt, make_spec(monitoring={"minimum_labels": 50}))
    assert causes(rt)["labels:coverage"]["value"] == pytest.approx(0.2, abs=0.01)
    newest = {verdict["check"]: verdict for verdict in stored(rt)[-1]["verdicts"]}
    assert newest["decay:roc_auc"]["outcome"] == newest["decay:calibration_gap"]["outcome"] == "inconclusive"
    assert "have a label" in newest["decay:roc_auc"]["reason"]


def test_odd_label_rows_are_counted_and_a_correction_appends_a_revision(world, watch):
    rt, spec = world(LIVE + 4 * DAY), make_spec(monitoring={"labels": {"max_unknown": 0.4}})
    frame = serve(rt)
    rows = outcomes_of(frame)
    known = rows[0]["at"] + timedelta(hours=3)
    strangers = [row | {"id": f"nobody-{row['id']}"} for row in rows]
    twice = [row | {"known_at": known} for row in rows[:100]] * 2 + [rows[7] | {"known_at": known, "wet": 1 - rows[7]["wet"]}]
    add_outcomes(rt, rows + strangers + twice)
    watch(rt, spec)
    first = stored(rt)[0]["measurements"]["labels"]
    assert first["unknown"] == first["labelled_rows"] == first["keyed_rows"] > 350
    assert first["repeated"] >= 99
    assert first["conflicting"] >= 2
    assert "labels:unknown" in causes(rt)
    assert "labels:conflicts" not in causes(rt)  # three of a thousand


def test_a_business_number_that_falls_is_a_signal(world, watch):
    rt = world(LIVE + 2 * DAY)
    serve(rt)
    amounts = [
        {"at": LIVE - timedelta(weeks=week) + timedelta(hours=12) + day * DAY, "amount": 100 + week % 3}
        for week in range(1, 9)
        for day in range(2)
    ]
    with rt.engine.begin() as connection:
        connection.execute(text("INSERT INTO sales VALUES (:at, :amount)"), amounts)
        connection.execute(text("INSERT INTO sales VALUES (:at, 40)"), {"at": LIVE + DAY + timedelta(hours=12)})
    numbers = [{"name": "sales", "query": "rain/sales.sql"}, {"name": "none", "query": "rain/missing.sql"}]
    watch(rt, make_spec(monitoring={"business": numbers}))
    first, second = ({v["check"]: v for v in row["verdicts"]} for row in stored(rt))
    assert first["business:sales"]["outcome"] == "inconclusive"  # no sale at all: the sum is null
    assert (second["business:sales"]["outcome"], second["business:none"]["outcome"]) == ("fail", "inconclusive")
    assert stored(rt)[1]["measurements"]["business"] == {"sales": 40.0}
    assert causes(rt)["business:sales"]["reference_value"] == pytest.approx(101, abs=1)


@pytest.fixture
def prometheus(tmp_path):
    """A real Prometheus that holds an hour of two versions' metrics, written by promtool."""
    if not all(shutil.which(name) for name in ("prometheus", "promtool")):
        pytest.skip("Prometheus is not installed: apt-get install prometheus")
    until = int(time.time()) // 60 * 60 - 3 * 3600
    lines: dict[str, list[str]] = {}
    for version, cores, memory, failed in ((1, 0.2, 5e8, 0), (2, 1.9, 9e8, 5)):
        of = f'{{model="{MODEL}",version="{version}"}}'
        for step in range(241):
            at = until - 3600 + step * 15
            values = {"model_process_cpu_seconds_total": cores * step * 15, "model_errors_total": failed * step}
            values |= {"model_latency_ms_count": 20 * step, "model_process_memory_bytes": memory, "model_workers": 2}
            for name, value in values.items():
                lines.setdefault(name, []).append(f"{name}{of} {value:g} {at}")
    counters = {"model_process_cpu_seconds_total", "model_errors_total", "model_latency_ms_count"}
    parts = [
        f"# TYPE {name.removesuffix('_total')} {'unknown' if 'count' in name or name not in counters else 'counter'}"
        for name in lines
    ]
    content = "\n".join(line for head, name in zip(parts, lines, strict=True) for line in (head, *lines[name])) + "\n# EOF\n"
    (tmp_path / "metrics.txt").write_text(content)
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "metrics.txt"), str(tmp_path / "data")]
    subprocess.run(blocks, check=True, capture_output=True)
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    address = f"127.0.0.1:{free_port()}"
    options = [
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={address}",
    ]
    server = subprocess.Popen(["prometheus", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(f"http://{address}/-/ready")
        yield f"http://{address}", until
    finally:
        server.terminate()
        server.wait(10)


def _wait(url: str) -> None:
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} did not answer")


def test_resources_are_read_from_a_real_prometheus(prometheus):
    url, until = prometheus
    calm, busy = (PrometheusUsage(url, MODEL, version, until - 1800, until) for version in (1, 2))
    assert calm("cpu") == pytest.approx(0.1, abs=0.01)  # 0.2 cores of two workers
    assert busy("cpu") == pytest.approx(0.95, abs=0.03)
    assert (calm("memory"), busy("memory")) == (5e8, 9e8)
    assert calm("error_rate") == 0
    assert busy("error_rate") == pytest.approx(5 / 25, abs=0.02)
    assert PrometheusUsage(url, MODEL, 3, until - 1800, until)("cpu") is None
    assert PrometheusUsage(url, MODEL, 1, until - 30, until)("cpu") is None
    with pytest.raises(SourceUnavailableError):
        PrometheusUsage(f"http://127.0.0.1:{free_port()}", MODEL, 1, until - 1800, until)("cpu")


def test_each_prediction_is_written_with_its_actual_value(world, postgres, tmp_path, capsys):
    rt = world(LIVE + 4 * DAY)
    frame = serve(rt)
    add_outcomes(rt, outcomes_of(frame.iloc[:500]))
    (tmp_path / "include" / "models").mkdir()
    (tmp_path / "include" / "models" / f"{MODEL}.yaml").write_text(YAML)
    (tmp_path / "include" / "sql" / "rain" / "t.sql").write_text("SELECT 1 WHERE :window_start < :window_end")
    settings = replace(rt.settings, passfile=postgres.passfile)
    write_clock(tmp_path / "clock.json", ShiftedClock(datetime.now(UTC), LIVE + 4 * DAY, 1.0))
    settings = replace(settings, clock_file=tmp_path / "clock.json")
    url = postgres.url(rt.engine.url.database)
    ask = ["actuals", MODEL, "--from", f"{LIVE:%Y-%m-%d}", "--url", url, "--json", "--out"]
    for suffix in (".parquet", ".csv"):
        out = tmp_path / f"actuals{suffix}"
        assert main([*ask, str(out)], settings=settings) == 0
        assert json.loads(capsys.readouterr().out) == {"model": MODEL, "file": str(out), "rows": 800, "labelled": 500}
        written = (pandas.read_parquet if suffix == ".parquet" else pandas.read_csv)(out).set_index("key")
        both = written.join(frame.set_index("id")["wet"])
        known = both["actual"].notna()
        assert (both.loc[known, "actual"] == both.loc[known, "wet"]).all()
        assert set(both["latency_ms"]) == {1.5}
        assert main([*ask, str(out)], settings=settings) == 2
        assert "exists already" in capsys.readouterr().err
    assert main([*ask, str(tmp_path / "x.txt")], settings=settings) == 2
