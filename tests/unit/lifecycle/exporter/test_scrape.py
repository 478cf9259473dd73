"""What a scrape tells is what the rows say; a source that fails hides no other, and unknown numbers are absent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psutil
from sqlalchemy import text

from include.lifecycle.database import transaction
from include.lifecycle.exporter.families import Families
from include.lifecycle.exporter.host import add_host
from include.lifecycle.exporter.scrape import Scraper
from include.lifecycle.rollout.watchdog.health import Health, write_gauges
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import alert_messages, alerts, automation, desired_traffic, signals, training_requests, windows
from tests.conftest import NOW
from tests.unit.lifecycle.exporter.conftest import MODEL, samples, window

OF = f"model={MODEL}"


def test_the_newest_window_of_each_version_is_told(served: Runtime):
    found = samples(Scraper(served).exposition())
    assert found["model_drift_score", OF, "version=3"] == 0.4
    assert found["model_column_drift_score", "aspect=", "column=carrier", "kind=covariate", OF, "version=3"] == 0.05
    assert found["model_prediction_drift_score", OF, "version=3"] == 0.02
    assert found["model_accuracy", OF, "version=3"] == 0.91
    assert found["model_performance", "metric=roc_auc", OF, "version=3"] == 0.7
    assert found["model_health_score", OF, "version=3"] == 0.87
    assert found["model_failed_checks", "kind=covariate", OF, "version=3"] == 1
    assert found["model_window_end_timestamp_seconds", OF, "version=3"] == (NOW - timedelta(hours=1)).timestamp()
    assert not [key for key in found if "version=4" in key and key[0] == "model_drift_score"]


def test_an_inconclusive_distance_is_no_distance(served: Runtime):
    assert not [key for key in samples(Scraper(served).exposition()) if "column=origin" in key]


def test_a_later_revision_takes_its_window_s_place(served: Runtime):
    scraper = Scraper(served)
    assert samples(scraper.exposition())["model_health_score", OF, "version=3"] == 0.87
    with transaction(served.engine) as connection:
        connection.execute(windows.insert().values(window(revision=2, health=0.5)))
        connection.execute(windows.insert().values(window(version=4, health=None, measurements={}, verdicts=[])))
    found = samples(scraper.exposition())
    assert found["model_health_score", OF, "version=3"] == 0.5
    assert ("model_health_score", OF, "version=4") not in found
    assert ("model_accuracy", OF, "version=4") not in found
    assert found["model_window_rows", OF, "version=4"] == 5000
    assert len(scraper.newest.kept) == 2


def test_ages_are_event_time_and_come_with_what_is_due(served: Runtime):
    found = samples(Scraper(served).exposition())
    assert found["model_window_age_seconds", OF] == 3600
    assert found["model_labels_age_seconds", OF] == 3600
    assert found["model_window_interval_seconds", OF] >= 3600
    assert found["model_labels_mature_seconds", OF] > 0
    assert found[("modelops_clock_timestamp_seconds",)] == NOW.timestamp()


def test_a_model_that_was_never_measured_is_as_old_as_its_first_rollout(served: Runtime):
    with transaction(served.engine) as connection:
        connection.execute(windows.delete())
    found = samples(Scraper(served).exposition())
    assert found["model_window_age_seconds", OF] == timedelta(days=2).total_seconds()
    assert ("model_drift_score", OF, "version=3") not in found


def test_signals_trainings_rollouts_and_traffic(served: Runtime):
    seen = {"first_seen": NOW, "last_seen": NOW}
    asked = {"model": MODEL, "reason": "r", "requested_at": NOW - timedelta(hours=2), "requested_by": "decide"}
    with transaction(served.engine) as connection:
        for cause in ("a", "b"):
            signal = {"model": MODEL, "kind": "covariate", "cause": cause, "effect": 1, "severity": "warn"}
            connection.execute(signals.insert().values(signal | seen))
        connection.execute(signals.insert().values(signal | seen | {"cause": "c", "state": "resolved"}))
        for source, state in (
            ("signal", "done"),
            ("signal", "done"),
            ("schedule", "failed"),
            ("manual", "open"),
            ("x", "refused"),
        ):
            connection.execute(training_requests.insert().values(asked | {"source": source, "state": state}))
        connection.execute(automation.insert().values(model=MODEL, state="stopped", reason="r", by="ann", at=NOW))
    found = samples(Scraper(served).exposition())
    assert found["model_open_signals", "kind=covariate", OF, "severity=warn"] == 2
    assert found["retraining_runs_total", OF, "outcome=done", "source=signal"] == 2
    assert found["retraining_runs_total", OF, "outcome=failed", "source=schedule"] == 1
    assert not [key for key in found if key[0] == "retraining_runs_total" and "source=manual" in key]
    assert found["model_training_requests", OF, "state=open"] == 1
    assert found["model_last_training_age_seconds", OF] == 7200
    assert found["model_automation_stopped", OF] == 1
    assert found["model_trainings_30d", OF, "source=signal"] == 2
    assert found["model_rollouts", OF, "state=running", "strategy=canary", "version=4"] == 1
    assert found["model_rollouts_total", OF, "outcome=promoted", "strategy=direct"] == 1
    assert found["model_traffic_percent", OF, "role=champion", "version=3"] == 90
    assert found["model_champion", OF] == 3


def test_alerts_their_messages_and_whether_they_were_answered_in_time(served: Runtime):
    wall = datetime.now(UTC)

    def alert(key: str, severity: str, hours: float, answered: float | None = None, model: str = MODEL) -> dict[str, object]:
        since = wall - timedelta(hours=hours)
        told = {"model": model, "kind": "decay", "key": key, "severity": severity, "title": "t", "reason": "r", "wall_at": since}
        told |= {"state": "open" if answered is None else "acknowledged", "first_seen": NOW, "last_seen": NOW}
        return told | {"answered_wall_at": None if answered is None else since + timedelta(hours=answered)}

    rows = [
        alert("quick", "P0", 10, answered=0.2),
        alert("late", "P0", 10, answered=1),
        alert("missing", "P1", 2, model="*"),
        alert("has time", "P3", 2),
        alert("long ago", "P0", 24 * 40),
    ]
    with transaction(served.engine) as connection:
        for row in rows:
            connection.execute(alerts.insert().values(row))
        message = {"alert_id": 1, "channel": "slack", "event": "raised", "state": "waiting"}
        connection.execute(alert_messages.insert().values(message | {"wall_at": wall - timedelta(minutes=20)}))
        given_up = message | {"alert_id": 3, "channel": "email", "state": "failed"}  # alert 3 is open still
        connection.execute(alert_messages.insert().values(given_up | {"wall_at": wall - timedelta(minutes=30)}))
        connection.execute(alert_messages.insert().values(given_up | {"alert_id": 1, "channel": "sms"}))
    found = samples(Scraper(served).exposition())
    assert found["model_alerts", "kind=decay", OF, "severity=P0", "state=acknowledged"] == 2
    assert found["model_alerts_total", OF, "severity=P0"] == 3
    assert found[("modelops_alert_pending_age_seconds",)] > 24 * 40 * 3600  # "long ago": nobody was told
    answered = {key[1:]: value for key, value in found.items() if key[0] == "modelops_alert_responses_30d" and value}
    assert answered == {
        ("answer=in_time", "severity=P0"): 1,
        ("answer=late", "severity=P0"): 1,
        ("answer=late", "severity=P1"): 1,
    }
    assert 1190 < found["modelops_alert_message_age_seconds", "channel=slack"] < 1300
    assert 1790 < found["modelops_alert_message_age_seconds", "channel=email"] < 1900
    assert ("modelops_alert_message_age_seconds", "channel=sms") not in found  # somebody has it
    assert found["modelops_alert_messages", "channel=slack", "state=waiting"] == 1


def test_the_watchdog_s_gauges_are_handed_on(served: Runtime):
    health = Health({MODEL: 1.0}, {MODEL})
    write_gauges(served.settings.gateway_dir, health, {MODEL}, {}, [], 1234.5)
    found = samples(Scraper(served).exposition())
    assert found["modelops_model_down", OF] == 1
    assert found[("modelops_watchdog_last_look_timestamp_seconds",)] == 1234.5
    assert found["modelops_exporter_source_up", "source=watchdog"] == 1


def test_a_source_that_fails_hides_no_other(served: Runtime):
    with transaction(served.engine) as connection:
        connection.execute(text("ALTER TABLE signals RENAME TO gone"))
    found = samples(Scraper(served).exposition())
    assert found["modelops_exporter_source_up", "source=signals"] == 0
    assert found["modelops_exporter_source_up", "source=watchdog"] == 0  # nobody watches here
    assert found["modelops_exporter_source_up", "source=windows"] == 1
    assert found["model_health_score", OF, "version=3"] == 0.87


def test_a_database_that_is_down_is_told_and_nothing_is_made_up(make_runtime):
    down = make_runtime(MODELOPS_DATABASE_URL="postgresql+psycopg2://modelops@127.0.0.1:1/modelops")
    found = samples(Scraper(down).exposition())
    up = {key[1]: value for key, value in found.items() if key[0] == "modelops_exporter_source_up"}
    assert {source for source, value in up.items() if value} == {"source=host"}
    assert not [key for key in found if key[0].startswith("model_")]


def test_a_broken_yaml_is_told_and_read_again_when_it_changes(make_runtime, tmp_path):
    folder = tmp_path / "overlay"
    folder.mkdir()
    rt = make_runtime(MODELOPS_OVERLAY=str(folder))
    scraper = Scraper(rt)
    with transaction(rt.engine) as connection:
        connection.execute(desired_traffic.insert().values(model=MODEL, revision=1, weights={}, champion=3))
        connection.execute(windows.insert().values(window()))
    assert samples(scraper.exposition())["model_window_age_seconds", OF] == 3600
    (folder / f"{MODEL}.yaml").write_text("monitoring: {window: soon}\n")
    found = samples(scraper.exposition())
    assert found["modelops_model_yaml_broken", OF] == 1
    assert ("model_window_age_seconds", OF) not in found
    (folder / f"{MODEL}.yaml").write_text("monitoring: {window: 48h}\n")
    assert samples(scraper.exposition())["model_window_interval_seconds", OF] == 48 * 3600


def test_the_machine_s_resources(served: Runtime):
    found = samples(Scraper(served).exposition())
    assert 0 < found["modelops_storage_bytes", "kind=free"] <= found["modelops_storage_bytes", "kind=total"]
    assert 0 < found["modelops_host_memory_bytes", "kind=available"] < found["modelops_host_memory_bytes", "kind=total"]
    idle = found["modelops_host_cpu_seconds_total", "mode=idle"]
    assert 0 < idle <= psutil.cpu_times().idle + 1


def test_without_proc_only_the_room_is_told(tmp_path):
    families = Families()
    add_host(families, tmp_path / "not" / "there", proc=tmp_path)
    assert {key[0] for key in samples(families.exposition())} == {"modelops_storage_bytes"}
