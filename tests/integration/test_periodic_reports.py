"""Daily to quarterly reports on a real database: what they say of five measured weeks, of nothing, of a fleet; where they lie."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import make_url

from include.lifecycle.cli import main
from include.lifecycle.clock import FixedClock
from include.lifecycle.database import engine_for, transaction
from include.lifecycle.reporting.periodic.figures import figures_of
from include.lifecycle.reporting.periodic.fleet import FLEET
from include.lifecycle.reporting.periodic.material import read_material
from include.lifecycle.reporting.periodic.period import KINDS, containing, last_finished
from include.lifecycle.reporting.periodic.writing import fleet_page, model_page, write_fleet_report, write_model_report
from include.lifecycle.runtime import build_runtime
from include.lifecycle.tables import alerts
from include.settings import load_settings
from tests.integration.report_lab import DAY, live_through, outage, roll_out, train
from tests.unit.lifecycle.monitoring.examples import MODEL, make_profile, make_spec

FIRST = datetime(2013, 7, 1, tzinfo=UTC)  # a Monday
END = FIRST + 35 * DAY
SPEC = make_spec()


@pytest.fixture(scope="module")
def profile():
    return make_profile()


@pytest.fixture(scope="module")
def at(postgres, migrated, tmp_path_factory):
    """Runtimes at any time on one database, which all tests of this module read."""
    folder, url = tmp_path_factory.mktemp("lived"), postgres.url(postgres.create_database(migrated))
    values = {"LOCAL": folder, "HOME": folder, "DATABASE_URL": url, "PASSFILE": postgres.passfile}
    settings = load_settings({f"MODELOPS_{name}": str(value) for name, value in values.items()})
    yield lambda now: build_runtime(settings, FixedClock(now))
    engine_for(url, postgres.passfile).dispose()


@pytest.fixture(scope="module")
def lived(at, postgres, profile):
    """Five weeks, the last four days bad; trainings, a rollout, an outage and alerts in the last week."""
    rt = at(END + timedelta(hours=7))
    url = make_url(postgres.url(rt.engine.url.database, with_password=True))
    live_through(at, SPEC, profile, url, FIRST, days=35, bad=4, per_day=220)
    train(at(FIRST + 20 * DAY), "run-1", "schedule", "the schedule asked", 2)
    train(at(FIRST + 30 * DAY), "run-2", "signal", "decay <script>", None)
    train(at(FIRST + 33 * DAY), "run-3", "signal", "decay", 3)
    roll_out(at(FIRST + 34 * DAY), 3, "promoted", "canary passed")
    outage(at(FIRST + 32 * DAY), 30)
    return rt


def figures(rt, period):
    with transaction(rt.engine) as connection:
        return figures_of(read_material(connection, SPEC, period, rt.clock.now()))


def test_a_weeks_figures(lived):
    week = last_finished("weekly", lived.clock.now())
    assert week.name == "2013-W31"
    found = figures(lived, week)
    assert (found.windows, found.predictions // 10) == (7, 7 * 22)
    assert found.label_coverage == 1.0
    assert found.health_lowest < 0.8 < figures(lived, week.before).health_lowest
    assert (found.trainings, found.trainings_failed, found.trainings_promoted, found.trainings_planned) == (2, 1, 1, 1)
    assert found.pipeline_success == 0.5
    assert (found.rollouts_ended, found.rollouts_promoted, found.rollouts_back) == (1, 1, 0)
    assert found.availability == pytest.approx(1 - 30.25 / (7 * 24 * 60))
    assert found.signals_opened >= 2
    assert found.serving_hours == 7 * 24
    assert found.cost == pytest.approx(found.training_hours * 0.10 + 168 * 0.03)


def test_the_same_figures_with_and_without_evidence(lived):
    week = last_finished("weekly", lived.clock.now())
    with transaction(lived.engine) as connection:
        brief = read_material(connection, SPEC, week, lived.clock.now(), whole=False)
    assert figures_of(brief) == figures(lived, week)
    assert {str(row["verdicts"]) for row in brief.windows} == {"[]"}


def test_the_weekly_page_says_what_happened_and_why(lived):
    page, _ = model_page(SPEC, lived, last_finished("weekly", lived.clock.now()))
    assert "<h1>Weekly performance of rain, 2013-W31</h1>" in page
    for part in ("Performance", "Versions", "Health", "Drift", "Checks", "Decisions", "Trainings", "Rollouts", "Alerts", "Cost"):
        assert f"<h2>{part}</h2>" in page
    assert page.count("<svg") >= 7
    assert "calibration_gap" in page
    assert "opened signal covariate:warmth" in page
    assert "decay &lt;script&gt;" in page
    assert "<script" not in page
    assert "without a healthy server from 2013-08-02 00:00, for 30 min" in page
    assert "No business metric is configured" in page


def test_the_days_beside_it(lived):
    good, _ = model_page(SPEC, lived, containing("daily", FIRST + 28 * DAY))
    bad, found = model_page(SPEC, lived, containing("daily", FIRST + 34 * DAY))
    assert (found.windows, found.predictions // 10) == (1, 22)
    assert "What failed, each cause by its newest window" in bad
    assert "What failed, each cause by its newest window" not in good


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_a_model_that_did_nothing(kind, rt):
    period = last_finished(kind, rt.clock.now())
    page, found = model_page(SPEC, rt, period)
    assert (found.windows, found.health_newest, found.availability, found.cost) == (0, None, None, 0.0)
    assert "No drift was measured in the period." in page
    assert "inf" not in page.split("<h2>Goals</h2>")[1].split("<h2>")[0]


def test_reports_are_stored_and_the_oldest_go(rt):
    few = make_spec(reports={"keep": 2})
    now = rt.clock.now()
    found = [write_model_report(few, rt, containing("daily", now - days * DAY)) for days in (4, 3, 2)]
    assert [one.removed for one in found] == [0, 0, 1]
    names = sorted(path.name for path in rt.storage.reports(MODEL).iterdir())
    assert names == ["report-daily-2013-07-29.html", "report-daily-2013-07-30.html"]
    assert found[-1].path.read_text().startswith("<!doctype html>")


def test_the_fleet_ranks_by_urgency(lived):
    calm = make_spec(name="calm")
    week = last_finished("weekly", lived.clock.now())
    page, found = fleet_page([calm, SPEC], lived, week)
    assert {one.model: one.windows for one in found} == {"calm": 0, "rain": 7}
    assert "No alert about the platform itself" in page
    table = page.split("<h2>Models</h2>")[1]
    assert table.index("rain") < table.index("calm")
    assert write_fleet_report([calm, SPEC], lived, week).path == lived.storage.reports(FLEET) / "report-weekly-2013-W31.html"


def test_the_fleets_report_names_alerts_of_the_platform(rt):
    now = rt.clock.now()
    values = {"model": "platform", "kind": "watchdog_silent", "key": "look", "severity": "P1", "title": "the watchdog is silent"}
    with transaction(rt.engine) as connection:
        connection.execute(alerts.insert().values(values | {"reason": "for 60 s", "first_seen": now, "last_seen": now}))
    page, _ = fleet_page([SPEC], rt, containing("daily", now))
    told = page.split("<h2>Alerts of the platform</h2>")[1].split("<h2>")[0]
    assert "the watchdog is silent" in told


def test_responses_are_held_against_the_models_times(rt):
    day = containing("daily", rt.clock.now() - DAY)
    plain = {"model": MODEL, "kind": "decay", "title": "t", "reason": "r", "severity": "P1"}
    rows = [("a", 30, "resolved"), ("b", 90, "acknowledged"), ("c", None, "open")]  # minutes; an hour is allowed
    with transaction(rt.engine) as connection:
        for key, minutes, state in rows:
            began = datetime.now(UTC) - timedelta(hours=3)
            ends = {"answered_wall_at": None if minutes is None else began + timedelta(minutes=minutes), "wall_at": began}
            times = {"first_seen": day.start, "last_seen": day.start}
            connection.execute(alerts.insert().values(plain | times | ends | {"key": key, "state": state}))
    found = figures(rt, day)
    assert found.alerts == {"P1": 3}
    assert found.alerts_standing == 2
    assert found.responses_in_time == pytest.approx(1 / 3)
    assert found.response_minutes == pytest.approx(90)


def test_the_command_stores_prints_and_refuses(rt, tmp_path, capsys):
    def cli(*arguments):
        return main(["report", *arguments], settings=rt.settings)

    assert cli("flight_delay", "--at", "2013-07-31", "--kind", "daily") == 0
    stored = rt.storage.reports("flight_delay") / "report-daily-2013-07-31.html"
    assert capsys.readouterr().out == f"wrote {stored}\n"
    assert "Daily health of flight_delay, 2013-07-31" in stored.read_text()
    assert cli("--fleet", "--kind", "quarterly", "--at", "2013-07-31", "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["model"], one["period"]) for one in told] == [("flight_delay", "2013-Q3"), ("health_visits", "2013-Q3")]
    assert not rt.storage.reports(FLEET).exists()
    assert cli("--fleet", "--at", "2013-07-31", "--output", str(tmp_path / "fleet.html")) == 0
    assert "Weekly performance of all models, 2013-W31" in (tmp_path / "fleet.html").read_text()
    assert cli("flight_delay", "--at", "9999-01-01") == 2
    assert cli("flight_delay", "--at", "yesterday") == 2
    assert cli("flight_delai") == 2
    assert "did you mean" in capsys.readouterr().err
