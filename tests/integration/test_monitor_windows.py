"""Windows by predictions, windows larger than memory, their shards, and the command line, on a real PostgreSQL and a real log."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import duckdb
import numpy as np
import pytest
from sqlalchemy import create_engine, make_url, select, text

from include.lifecycle.commands import drift
from include.lifecycle.commands import monitor as command
from include.lifecycle.monitoring.counting.arrays import count_window
from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.counting.planning import plan_shards
from include.lifecycle.monitoring.counting.scheme import scheme_of
from include.lifecycle.monitoring.counting.shards import Shard, count_shard, shards_of, stored_shard
from include.lifecycle.monitoring.counting.statement import count_query
from include.lifecycle.monitoring.counting.store import stored_windows
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.tables import windows
from tests.integration.rain_lab import LIVE, look, rainy_world
from tests.unit.lifecycle.monitoring.examples import (
    MODEL,
    as_predictions,
    log_lines,
    make_profile,
    make_spec,
    make_table,
    write_log,
)

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def profile():
    return make_profile()


@pytest.fixture
def world(make_runtime, tmp_path):
    return rainy_world(make_runtime, tmp_path)


def serve(rt, *, days=1, per_day=400, seed=77, known_at=None, **changes):
    frame, honest = make_table(days, start=LIVE, per_day=per_day, seed=seed, **changes)
    write_log(rt.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1, name=seed)
    if known_at is not None:
        rows = [
            {"id": row["id"], "at": row["at"].to_pydatetime(), "wet": int(row["wet"]), "known": known_at}
            for _, row in frame.iterrows()
        ]
        with rt.engine.begin() as connection:
            connection.execute(text("INSERT INTO outcomes VALUES (:id, :at, :wet, :known)"), rows)
    return frame, honest


def stored(rt):
    with rt.engine.begin() as connection:
        return list(connection.execute(select(windows).order_by(windows.c.id)).mappings())


def test_windows_by_count_end_with_their_rows_and_go_on_from_there(world, postgres, profile):
    spec = make_spec(monitoring={"window_by": "count", "window_rows": 300, "minimum_rows": 200})
    rt = world(LIVE + DAY)
    frame, _ = serve(rt, per_day=1000)
    look(rt, postgres, spec, profile)
    found = stored(rt)
    assert [row["rows"] for row in found] == [300, 300, 300]
    assert found[0]["window_start"] == frame["at"][0].to_pydatetime()
    assert [row["window_end"] for row in found[:2]] == [row["window_start"] for row in found[1:]]
    assert look(rt, postgres, spec, profile).windows == []
    later = world(LIVE + 2 * DAY)
    frame, honest = make_table(1, start=LIVE + DAY, per_day=250, seed=5)
    write_log(later.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1, name=5)
    look(later, postgres, spec, profile)
    assert [row["rows"] for row in stored(later)] == [300, 300, 300, 300]
    assert stored(later)[3]["window_start"] == found[2]["window_end"]


def test_windows_by_labels_wait_for_them(world, postgres, profile):
    spec = make_spec(monitoring={"window_by": "labels", "window_labels": 300, "minimum_labels": 150})
    early, late = world(LIVE + DAY), world(LIVE + DAY + timedelta(hours=7))
    serve(early, per_day=700, known_at=LIVE + DAY + timedelta(hours=6))
    assert look(early, postgres, spec, profile).windows == []
    look(late, postgres, spec, profile)
    assert [(row["rows"], row["mature_rows"]) for row in stored(late)] == [(300, 300), (300, 300)]


LARGE = {"exact_rows": 1000, "sample_rows": 1000, "slice_rows": 1500}


def without_sampling(row):
    return {verdict["check"]: verdict for verdict in row["verdicts"] if verdict["check"].partition(":")[0] == "covariate"}


@pytest.mark.parametrize("sharded", [False, True])
def test_a_window_larger_than_memory_is_counted_whole(world, postgres, profile, sharded, tmp_path):
    rt = world(LIVE + DAY + timedelta(hours=7))
    frame, honest = serve(rt, per_day=6000, known_at=LIVE + DAY + timedelta(hours=1), warmer=5.0)
    spec = make_spec(monitoring=LARGE)
    window = Window(LIVE, LIVE + DAY)
    if sharded:
        shards = plan_shards(spec, rt)
        assert {shard.window for shard in shards} == {window}
        assert [Shard.parse(shard.plain()) for shard in shards] == shards
        assert sum(count_shard(spec, rt, shard, lambda version: profile) for shard in shards) == 6000
        assert [stored_shard(rt.storage, shard)[1].rows > 0 for shard in shards] == [True] * len(shards)
        assert len(shards) >= 4
    look(rt, postgres, spec, profile)
    (row,) = stored(rt)
    assert row["rows"] == 6000
    assert 700 < row["mature_rows"] < 2300  # labels are those of the sample
    assert not shards_of(rt.storage, MODEL, window).exists()
    whole = count_window(scheme_of(profile), as_predictions(frame, honest, days=1, start=LIVE), [])
    ((start, path),) = stored_windows(rt.storage, MODEL, 1, LIVE, LIVE + DAY)
    assert start == LIVE
    kept = WindowCounts.load(path)
    assert kept.rows == 6000
    assert kept.categorical == whole.categorical
    assert kept.numeric["wind"].held == whole.numeric["wind"].held
    warmth = without_sampling(row)["covariate:warmth"]
    assert warmth["outcome"] == "fail"
    assert (warmth["evidence"]["counted"], warmth["evidence"]["rows"]) == (True, 6000)
    exact = profile.distance("warmth", frame["warmth"].to_numpy())
    assert warmth["evidence"]["effect"] == pytest.approx(exact, abs=1e-3)
    assert look(rt, postgres, spec, profile).windows == []
    assert plan_shards(spec, rt) == []


@pytest.fixture
def prometheus():
    """An address that answers each query as Prometheus does, with 0.95; and the queries that it was asked."""
    asked = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(parse_qs(urlsplit(self.path).query)["query"][0])
            value = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [0, "0.95"]}]}}
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_resources_of_a_large_window_are_asked_for_the_time_of_its_sample(world, postgres, profile, prometheus):
    rt, (url, asked) = world(LIVE + DAY + timedelta(hours=1)), prometheus
    serve(rt, per_day=3000)
    spec = make_spec(monitoring=LARGE | {"resources": {"memory": None, "error_rate": None, "latency_p95": None}})
    look(replace(rt, settings=replace(rt.settings, prometheus_url=url)), postgres, spec, profile)
    (row,) = stored(rt)
    (cpu,) = [verdict for verdict in row["verdicts"] if verdict["check"] == "resources:cpu"]
    assert (cpu["outcome"], cpu["evidence"]["value"]) == ("fail", 0.95)
    (query,) = asked
    assert f'model="{MODEL}",version="1"' in query
    seconds = int(re.search(r"\[(\d+)s:", query)[1])
    assert 0.98 * DAY.total_seconds() < seconds <= DAY.total_seconds()


def test_exact_counting_never_samples(world, postgres, profile):
    rt = world(LIVE + DAY + timedelta(hours=1))
    serve(rt, per_day=3000)
    look(rt, postgres, make_spec(monitoring=LARGE | {"counting": "exact"}), profile)
    (row,) = stored(rt)
    assert row["rows"] == 3000
    assert "counted" not in without_sampling(row)["covariate:warmth"]["evidence"]


def test_a_large_window_is_measured_once_more_when_its_labels_are_mature(world, postgres, profile):
    spec = make_spec(monitoring=LARGE)
    early, late = world(LIVE + DAY + timedelta(hours=1)), world(LIVE + DAY + timedelta(hours=7))
    serve(early, per_day=3000, known_at=LIVE + DAY + timedelta(hours=6))
    look(early, postgres, spec, profile)
    assert look(early, postgres, spec, profile).windows == []
    look(late, postgres, spec, profile)
    assert [(row["revision"], row["mature_rows"] > 0) for row in stored(late)] == [(1, False), (2, True)]
    assert look(late, postgres, spec, profile).windows == []


@pytest.fixture
def table(postgres, database_url):
    """The same awkward rows in PostgreSQL and DuckDB, and as arrays."""
    frame, honest = make_table(2, per_day=300, seed=9)
    frame.loc[3:9, "wind"] = np.nan
    frame.loc[[11, 12], "wind"] = [np.inf, -np.inf]
    frame.loc[20:25, "city"] = None
    frame.loc[30:35, "city"] = "O'Higgins"
    frame["city"] = frame["city"].astype(object).where(frame["city"].notna(), None)
    frame["prediction"] = honest
    engine = create_engine(postgres.url(database_url.rpartition("/")[2], with_password=True))
    frame.to_sql("scored", engine, index=False)
    with engine.begin() as connection:
        connection.execute(text("UPDATE scored SET wind = 'NaN' WHERE id = :id"), {"id": frame["id"][5]})
    yield frame, honest, engine
    engine.dispose()


@pytest.mark.parametrize("dialect", ["postgresql", "duckdb"])
@pytest.mark.parametrize("cells", [128, 2048])
def test_one_statement_counts_in_the_database_what_the_arrays_count(table, profile, dialect, cells):
    frame, honest, engine = table
    scheme = scheme_of(profile, cells)

    def in_postgres(statement):
        with engine.connect() as connection:
            return connection.exec_driver_sql(statement).fetchall()

    def in_duckdb(statement):
        with duckdb.connect() as connection:
            connection.register("scored", frame)
            return connection.execute(statement).fetchall()

    query = "SELECT * FROM scored -- all of it"
    found = count_query(in_postgres if dialect == "postgresql" else in_duckdb, dialect, query, scheme)
    expected = count_window(scheme, as_predictions(frame, honest, days=2), [])
    assert found.rows == expected.rows == 600
    assert found.categorical == expected.categorical
    assert found.categorical["city"].rest == 6
    for name, one in expected.numeric.items():
        assert np.array_equal(found.numeric[name].counts, one.counts), name
        assert found.numeric[name].sums == pytest.approx(one.sums, rel=1e-9)
        assert found.numeric[name].nulls == one.nulls
    assert found.numeric["wind"].nulls == 9


def test_the_command_looks_once_and_tells_signals_by_its_exit_code(world, postgres, profile, monkeypatch, capsys):
    rt = world(LIVE + 3 * DAY + timedelta(hours=1))
    serve(rt, days=3, warmer=5.0)
    monkeypatch.setattr(command, "load_model", lambda name, settings: make_spec())
    monkeypatch.setattr(command, "source_of", lambda *_: make_url(postgres.url(rt.engine.url.database, with_password=True)))
    monkeypatch.setattr("include.lifecycle.runtime.build_runtime", lambda settings: rt)
    monkeypatch.setattr("include.lifecycle.monitoring.monitor._registered_profile", lambda *_: profile)
    from include.lifecycle.cli import main

    assert main(["monitor", MODEL], settings=rt.settings) == command.SIGNALS
    told = capsys.readouterr().out
    assert told.startswith(f"{MODEL}: 3 windows measured, ")
    assert "fail covariate:warmth: normed Wasserstein distance" in told
    assert main(["monitor", MODEL, "--once", "--json"], settings=rt.settings) == command.SIGNALS
    assert json.loads(capsys.readouterr().out)["windows"] == []


@pytest.mark.parametrize("given", [["--interval", "0"], ["--interval", "often"], ["--interval", "60", "--once"]])
def test_the_command_refuses_senseless_intervals(given, capsys):
    from include.lifecycle.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["monitor", MODEL, *given])
    assert ended.value.code == 2


@pytest.mark.parametrize(("warmer", "expected"), [(0.0, (0, "pass")), (5.0, (1, "fail"))])
def test_a_querys_rows_are_judged_where_they_lie(
    make_runtime, postgres, profile, tmp_path, monkeypatch, capsys, warmer, expected
):
    frame, _ = make_table(3, start=LIVE, per_day=400, seed=4, warmer=warmer)
    rt = make_runtime()
    url = make_url(postgres.url(rt.engine.url.database, with_password=True))
    with create_engine(url).begin() as connection:
        frame[["id", "warmth", "city"]].to_sql("to_score", connection, index=False)
    query = tmp_path / "to_score.sql"
    query.write_text("SELECT * FROM to_score WHERE id LIKE '%-%';\n")
    monkeypatch.setattr(drift, "load_model", lambda name, settings: make_spec())
    monkeypatch.setattr(drift, "source_of", lambda *_: url)
    monkeypatch.setattr("include.lifecycle.monitoring.monitor._registered_profile", lambda *_: profile)
    from include.lifecycle.cli import main

    assert main(["drift", MODEL, "1", "--query", str(query), "--json"], settings=rt.settings) == expected[0]
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["outcome"], told["missing"]) == (1200, expected[1], ["wind"])
    effects = {one["check"]: one["evidence"]["effect"] for one in told["verdicts"]}
    assert effects["covariate:warmth"] == pytest.approx(profile.distance("warmth", frame["warmth"].to_numpy()), abs=1e-3)
    query.write_text("SELECT * FROM nowhere")
    assert main(["drift", MODEL, "1", "--query", str(query)], settings=rt.settings) == 2
    query.write_text("SELECT 1; DROP TABLE to_score")
    assert main(["drift", MODEL, "1", "--query", str(query)], settings=rt.settings) == 2
    assert "several statements" in capsys.readouterr().err
