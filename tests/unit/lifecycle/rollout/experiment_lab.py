"""Users who meet two versions: their answers as a real prediction log holds them, their outcomes and purchases in a database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import create_engine, make_url, text

from include.lifecycle.database import transaction
from include.lifecycle.rollout.evidence import Cursor
from include.lifecycle.rollout.states import State, Status
from include.lifecycle.tables import rollouts
from include.serving.outputs import Predicted
from include.serving.prediction_log import Answer, unit_of

CREATE = [
    "CREATE TABLE arrivals (flight_id text, scheduled_departure timestamptz, arrival_delay float, known_at timestamptz)",
    "CREATE TABLE purchases (user_id text, euros float, at timestamptz)",
]
BUSINESS_SQL = "SELECT user_id AS key, sum(euros) AS value FROM purchases WHERE at < CAST(:as_of AS timestamptz) GROUP BY user_id"


def database(postgres):
    """A fresh database with the tables of outcomes and purchases: URL with password."""
    url = make_url(postgres.url(postgres.create_database(), with_password=True))
    with create_engine(url).begin() as connection:
        for statement in CREATE:
            connection.execute(text(statement))
    return url


def start(rt, plan, *, began):
    """Write a rollout that is in its first stage since `began` (wall time); returns its id."""
    since = Cursor(since=began.timestamp())
    status = Status(state=State.RUNNING, since=began, started=began, cursor=since, weights=plan.weights_at(0))
    row = {"model": plan.model, "version": plan.version, "champion": plan.champion, "strategy": plan.strategy}
    row |= {"state": "running", "created_at": rt.clock.now(), "run_id": f"run-{plan.version}", "reason": "the test goes on"}
    row |= {"plan": plan.model_dump(mode="json"), "status": status.model_dump(mode="json")}
    with transaction(rt.engine) as connection:
        return connection.execute(rollouts.insert().values(row).returning(rollouts.c.id)).scalar_one()


def answers(folder, rows):
    """Log `rows`: dicts with user, version, at (event time), key, score, and optionally assigned, arm, logged; one segment."""
    lines = []
    for number, row in enumerate(rows):
        logged = row.get("logged", datetime.now(UTC))
        made = Answer(
            request_id=f"r-{number}-{row['key']}",
            assigned_version=row.get("assigned", row["version"]),
            logged_at=logged,
            latency_ms=1.0,
            columns={},
            predicted=Predicted([row["score"]]),
            keys=[row["key"]],
            event_times=[row["at"].isoformat()],
        )
        made = replace(made, unit=unit_of(row["user"]) if row["user"] else None, arm=row.get("arm", "live"))
        lines.append(made.lines(row["version"]))
    (folder / "segments").mkdir(parents=True, exist_ok=True)
    place = folder / "segments" / f"1-1-{int(datetime.now(UTC).timestamp() * 1e6)}.jsonl"
    place.write_bytes(b"".join(lines))


def outcomes(url, rows):
    """Store what came of each key: (key, event time, late or not, known at)."""
    told = [{"k": key, "at": at, "d": 30.0 if late else 0.0, "n": known} for key, at, late, known in rows]
    with create_engine(url).begin() as connection:
        connection.execute(text("INSERT INTO arrivals VALUES (:k, :at, :d, :n)"), told)


def purchases(url, rows):
    """Store what users bought: (user, euros, at)."""
    with create_engine(url).begin() as connection:
        connection.execute(text("INSERT INTO purchases VALUES (:u, :e, :at)"), [{"u": u, "e": e, "at": at} for u, e, at in rows])


def traffic(now, *, users, right, share=0.5, per_user=3, seed=1, versions=(8, 7), arms=("live", "live")):
    """Answers and outcomes of users, each stuck to one arm; `right` = share of right decisions of (challenger, champion)."""
    rng, made, known = np.random.default_rng(seed), [], []
    for user in range(users):
        arm = int(rng.random() >= share)
        for visit in range(int(rng.integers(1, 2 * per_user))):
            at = now - timedelta(days=3, minutes=int(rng.integers(0, 600)), seconds=user % 60)
            late, key = bool(rng.random() < 0.5), f"{user}-{visit}"
            said = late if rng.random() < right[arm] else not late
            row = {"user": f"user-{user}", "version": versions[arm], "arm": arms[arm], "at": at, "key": key}
            made.append(row | {"score": 0.9 if said else 0.1})
            known.append((key, at, late, at + timedelta(hours=2)))
    return made, known
