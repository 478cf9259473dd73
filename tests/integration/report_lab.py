"""Weeks in the life of a model for the reports' tests and pictures: measured for real, drifted and decayed in the last days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import URL, text

from include.lifecycle.database import transaction
from include.lifecycle.ledger import Entry
from include.lifecycle.monitoring.monitor import monitor_model
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import desired_traffic, rollouts
from include.lifecycle.training.requests import finish_requests, request_training
from tests.unit.lifecycle.monitoring.examples import MODEL, log_lines, make_table, write_log

DAY = timedelta(days=1)
LABELS_SQL = """SELECT id AS key, at AS event_time, wet AS label, known_at FROM outcomes
WHERE at >= :window_start AND at < :window_end AND known_at <= :as_of;"""
At = Callable[[datetime], Runtime]


def live_through(
    at: At, spec: ModelSpec, profile: Profile, url: URL, first: datetime, *, days: int, bad: int, per_day: int
) -> None:
    """Serve and measure `days` days from `first`; in the last `bad` ones inputs are warmer and outcomes are not as predicted."""
    rt = at(first)
    (rt.settings.home / "include" / "sql" / MODEL).mkdir(parents=True, exist_ok=True)
    (rt.settings.home / "include" / "sql" / MODEL / "labels.sql").write_text(LABELS_SQL)
    with transaction(rt.engine) as connection:
        connection.execute(text("CREATE TABLE outcomes (id text, at timestamptz, wet int, known_at timestamptz)"))
        connection.execute(desired_traffic.insert().values(model=MODEL, revision=1, champion=1))
    for begin, count, changes in ((0, days - bad, {}), (days - bad, bad, {"warmer": 5.0, "rate_shift": 1.2})):
        frame, honest = make_table(count, start=first + begin * DAY, per_day=per_day, seed=31 + begin, **changes)
        write_log(rt.storage.predictions(MODEL), log_lines(frame, honest, version=1), version=1, name=begin + 1)
        known = [
            {"id": row.id, "at": row.at, "wet": int(row.wet), "known": row.at + timedelta(hours=5)} for row in frame.itertuples()
        ]
        with transaction(rt.engine) as connection:
            connection.execute(text("INSERT INTO outcomes VALUES (:id, :at, :wet, :known)"), known)
    for day in (*range(7, days - 7, 7), *range(days - 7, days + 1)):
        now = at(first + day * DAY + timedelta(hours=7))
        monitor_model(spec, now, RunContext(MODEL, f"monitor-{day}", "monitor_model"), url, profiles=lambda version: profile)


def train(rt: Runtime, run_id: str, source: str, reason: str, version: int | None) -> None:
    """One training run as the ledger tells it; `version` None: it failed."""
    with transaction(rt.engine) as connection:
        number = request_training(
            rt,
            connection,
            model=MODEL,
            source=source,
            reason=reason,
            cause=source,
            requested_by=source,
            requested_at=rt.clock.now(),
        )
        connection.execute(
            text("UPDATE training_requests SET state = 'claimed', run_id = :run WHERE id = :id"), {"run": run_id, "id": number}
        )
    order = {"order": {"source": source, "reason": reason}}
    plain = {"model": MODEL, "kind": "training", "actor": "airflow:train", "run_id": run_id}
    rt.ledger.write(Entry(**plain, act="confirm training", reason=reason, evidence=order))
    if version is None:
        finish_requests(rt, MODEL, run_id, "failed", None, "train_model: out of memory")
        rt.ledger.write(Entry(**plain, act="training failed", reason="training failed at train_model", phase="failed"))
        return
    finish_requests(rt, MODEL, run_id, "done", version, f"version {version}")
    rt.ledger.write(
        Entry(**plain, act="register version", reason=f"trained because {reason}", phase="done", version_after=version)
    )


def roll_out(rt: Runtime, version: int, state: str, reason: str, *, hours: float = 6) -> None:
    """A finished rollout that ended now."""
    now = rt.clock.now()
    values = {"model": MODEL, "version": version, "champion": version - 1, "strategy": "canary", "state": state, "reason": reason}
    with transaction(rt.engine) as connection:
        times = {"created_at": now - timedelta(hours=hours), "finished_at": now}
        connection.execute(rollouts.insert().values(values | times))
    rt.ledger.write(
        Entry(
            model=MODEL,
            kind="promotion",
            act=f"promote {version}",
            reason=reason,
            actor="airflow:roll_out",
            phase="done",
            version_after=version,
        )
    )


def outage(rt: Runtime, minutes: float) -> None:
    """The watchdog's two entries about a model without a healthy server."""
    for act, wall in (("model_down", rt.clock.now()), ("model_up", rt.clock.now() + timedelta(minutes=minutes))):
        rt.ledger.write(
            Entry(
                model=MODEL,
                kind="alert",
                act=act,
                reason="no healthy server",
                actor="watchdog",
                evidence={"wall_at": wall.isoformat(), "seconds": 15.0},
            )
        )
