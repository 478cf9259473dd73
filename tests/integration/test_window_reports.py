"""Evidently's reports of measured windows: which, once, bounded, in the workspace, and away from the decision's way."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
from sqlalchemy import make_url, select

from include.lifecycle.clock import FixedClock
from include.lifecycle.errors import DataInvalidError, ReportFailedError, SourceUnavailableError
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.monitoring.window_reports import MOST_PER_RUN, models_with_reports_due, page_name, report_windows
from include.lifecycle.monitoring.workspace import project_id
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import signals, windows
from tests.unit.lifecycle.monitoring.examples import MODEL, log_lines, make_profile, make_spec, make_table, write_log
from tests.unit.lifecycle.monitoring.examples import START as FIRST

DAY = timedelta(days=1)
LIVE = FIRST + timedelta(days=190)
RUN = RunContext(MODEL, "run-1", "monitor_model")
SMALL = {"report_rows": 300}
DAYS = 5
DRIFTED = 2  # the last days are warmer


@pytest.fixture(scope="module")
def profile():
    return make_profile()


@pytest.fixture
def measured(make_runtime, postgres, profile):
    """A runtime after five measured days, the last two of them drifted."""
    rt = make_runtime(FixedClock(LIVE + DAYS * DAY))
    for first, count, warmer in ((0, DAYS - DRIFTED, 0.0), (DAYS - DRIFTED, DRIFTED, 6.0)):
        frame, honest = make_table(count, start=LIVE + first * DAY, per_day=300, seed=70 + first, warmer=warmer)
        write_log(rt.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1, name=first + 1)
    url = make_url(postgres.url(rt.engine.url.database, with_password=True))
    monitor_model(make_spec(), rt, RUN, url, profiles=lambda version: profile)
    return rt


def named(rt):
    with rt.engine.begin() as connection:
        query = select(windows.c.window_start, windows.c.report).order_by(windows.c.window_start)
        return {row.window_start: row.report for row in connection.execute(query)}


def test_the_newest_windows_are_reported_once(measured, profile):
    rt, spec = measured, make_spec(monitoring=SMALL)
    with rt.engine.begin() as connection:
        assert models_with_reports_due(connection, [spec]) == [MODEL]
    first = report_windows(spec, rt, profiles=lambda version: profile)
    starts = [LIVE + day * DAY for day in range(DAYS)]
    assert [path.name for path in first.reports] == [page_name(start, 1) for start in starts[: -MOST_PER_RUN - 1 : -1]]
    assert "<html" in first.reports[0].read_text()[:2000]
    second = report_windows(spec, rt, profiles=lambda version: profile)
    assert len(second.reports) == DAYS - MOST_PER_RUN
    assert named(rt) == {start: str(rt.storage.reports(MODEL) / page_name(start, 1)) for start in starts}
    with rt.engine.begin() as connection:
        assert models_with_reports_due(connection, [spec]) == []
        newer = dict(connection.execute(select(windows).limit(1)).mappings().one()) | {"revision": 2, "report": None}
        connection.execute(windows.insert().values({name: value for name, value in newer.items() if name != "id"}))
    assert report_windows(spec, rt, profiles=lambda version: profile).reports == []  # late labels: the same file
    assert None not in named(rt).values()


def test_only_failed_windows_and_only_the_newest_files_where_the_model_says_so(measured, profile):
    spec = make_spec(monitoring=SMALL | {"report": "failed", "report_keep": 1, "workspace": True})
    found = report_windows(spec, measured, profiles=lambda version: profile)
    assert [path.name for path in found.reports] == [page_name(LIVE + day * DAY, 1) for day in (4, 3)]
    assert found.removed == 1
    assert [path.name for path in measured.storage.reports(MODEL).iterdir()] == [page_name(LIVE + 4 * DAY, 1)]
    project = measured.storage.root / "evidently" / str(project_id(MODEL))
    (snapshot,) = (project / "snapshots").iterdir()
    assert json.loads(snapshot.read_text())["metadata"]["window_start"] == (LIVE + 4 * DAY).isoformat()
    assert report_windows(spec, measured, profiles=lambda version: profile).reports == []


def test_evidently_shows_the_workspace(measured, profile, tmp_path):
    from evidently.ui.workspace import Workspace

    report_windows(make_spec(monitoring=SMALL | {"workspace": True}), measured, profiles=lambda version: profile)
    workspace = Workspace(str(measured.storage.root / "evidently"))
    (project,) = workspace.list_projects()
    assert project.name == MODEL
    runs = workspace.list_runs(project.id)
    assert len(runs) == MOST_PER_RUN
    assert workspace.get_run(project.id, runs[0]).metadata["version"] == "1"


def test_off_writes_nothing(measured, profile):
    spec = make_spec(monitoring=SMALL | {"report": "off"})
    with measured.engine.begin() as connection:
        assert models_with_reports_due(connection, [spec]) == []
    assert report_windows(spec, measured, profiles=lambda version: profile).reports == []


def test_a_broken_report_fails_its_own_task_and_no_signal(measured, profile):
    measured.storage.reports(MODEL).parent.mkdir(parents=True, exist_ok=True)
    measured.storage.reports(MODEL).write_text("a file where a folder should be")
    with pytest.raises(ReportFailedError, match="could not be written"):
        report_windows(make_spec(monitoring=SMALL), measured, profiles=lambda version: profile)
    with measured.engine.begin() as connection:
        assert connection.execute(select(signals.c.cause)).scalars().all() == ["covariate:warmth"]
    assert set(named(measured).values()) == {None}


def test_a_version_without_a_profile_gets_no_report_and_a_registry_that_is_away_is_tried_again(measured):
    def none(version):
        raise DataInvalidError("no profile")

    def away(version):
        raise SourceUnavailableError("MLflow went away")

    assert report_windows(make_spec(monitoring=SMALL), measured, profiles=none).reports == []
    with pytest.raises(SourceUnavailableError):
        report_windows(make_spec(monitoring=SMALL), measured, profiles=away)


def test_monitoring_does_not_wait_for_evidently(make_runtime, postgres, profile):
    """The stage that decides are woken by neither imports Evidently nor writes a page."""
    import subprocess
    import sys

    code = "import sys; import include.lifecycle.monitoring.monitor; print('evidently' in sys.modules)"
    began = time.monotonic()
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False", time.monotonic() - began
