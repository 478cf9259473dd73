"""What is stored about one model's past: measured windows, champions, what was asked, trained and rolled back. Read only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, select, text

from include.lifecycle.database import transaction
from include.lifecycle.decisions.vocabulary import FACTS
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.monitoring.windows import Window, look_back
from include.lifecycle.runtime import Runtime
from include.lifecycle.simulation.events import Event
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import candidates, ledger, rollouts, training_requests, windows
from include.lifecycle.verdicts import Verdict

WARM_UP = timedelta(days=31)
"""Stored windows before the start are replayed silently: signals, a month's budget and cooldowns stand as they would have."""


@dataclass(frozen=True)
class Stored:
    """One revision of a measured window; `known_at` is the event time of its measurement."""

    window: Window
    version: int
    rows: int
    known_at: datetime
    verdicts: Sequence[Verdict]


@dataclass(frozen=True)
class RolloutLook:
    """What one rollout knew at one of its transitions of its skill lost: the lower bound, if any; and what ended it."""

    rollout: int
    version: int
    at: datetime
    act: str
    drop_lower: float | None
    failed: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """The past of a model. `looks` by rollout, oldest first; `asked`: requests that no measurement led to, by source and time."""

    model: str
    since: datetime
    until: datetime
    windows: Sequence[Stored]
    reigns: Sequence[tuple[datetime, int]]
    registered: dict[int, datetime]
    asked: Sequence[tuple[str, datetime]]
    looks: Sequence[RolloutLook]
    happened: Sequence[Event]

    def champion(self, now: datetime, known: Sequence[Stored]) -> int:
        """Who was champion at `now`; before the first promotion that is noted, who answered most in the newest known window."""
        reigning = [version for at, version in self.reigns if at <= now]
        if reigning:
            return reigning[-1]
        newest = max(known, key=lambda one: (one.window.start, one.rows))
        return newest.version


def read_record(spec: ModelSpec, rt: Runtime, since: datetime | None, until: datetime | None) -> Record:
    """Read event time [since, until) (None: all there is) in one snapshot of the database, which refuses any write.

    Raises:
        DataInvalidError: no window is stored there.
        SourceUnavailableError: the database did not answer.
    """
    with transaction(rt.engine) as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        end = until or rt.clock.now()
        stored = _windows(connection, spec, since, end)
        begin = since or min((one.known_at for one in stored), default=end)
        if not any(begin <= one.known_at < end for one in stored):
            raise DataInvalidError(f"{spec.name}: no window was measured between {begin} and {end}")
        return Record(
            model=spec.name,
            since=begin,
            until=end,
            windows=stored,
            reigns=_reigns(connection, spec.name, end),
            registered=_registered(connection, spec.name),
            asked=_asked(connection, spec.name, end),
            looks=_looks(connection, spec.name, begin, end),
            happened=_happened(connection, spec.name, begin, end),
        )


def _windows(connection: Connection, spec: ModelSpec, since: datetime | None, end: datetime) -> list[Stored]:
    query = select(windows).where(windows.c.model == spec.name, windows.c.window_start < end)
    if since is not None:
        length = spec.monitoring.window
        before = max(WARM_UP, look_back(length, spec.labels.mature_after) * length)
        query = query.where(windows.c.window_end >= since - before)
    rows = connection.execute(query.order_by(windows.c.id)).mappings()
    found = [_stored(row) for row in rows]
    return sorted((one for one in found if one.known_at < end), key=lambda one: one.known_at)


def _stored(row: RowMapping) -> Stored:
    verdicts = [Verdict.model_validate(plain) for plain in row["verdicts"]]
    known_at = datetime.fromisoformat(row["measurements"]["measured_at"])
    return Stored(Window(row["window_start"], row["window_end"]), row["version"], row["rows"], known_at, verdicts)


def _reigns(connection: Connection, model: str, end: datetime) -> list[tuple[datetime, int]]:
    """Each champion from when on, by the finished moves of aliases; a move that leaves none is left out."""
    moves = select(ledger.c.at, ledger.c.evidence).where(ledger.c.model == model, ledger.c.kind == "promotion")
    moves = moves.where(ledger.c.phase == "done", ledger.c.at < end).order_by(ledger.c.id)
    found: list[tuple[datetime, int]] = []
    for at, evidence in connection.execute(moves):
        version = evidence.get("aliases_after", {}).get("champion")
        if version is not None and (not found or found[-1][1] != version):
            found.append((at, int(version)))
    return found


def _registered(connection: Connection, model: str) -> dict[int, datetime]:
    query = select(candidates.c.version, candidates.c.created_at).where(candidates.c.model == model)
    return {row.version: row.created_at for row in connection.execute(query)}


def _requests(connection: Connection, model: str, end: datetime) -> Sequence[RowMapping]:
    rows = training_requests.c
    query = select(training_requests).where(rows.model == model, rows.requested_at < end, rows.state != "refused")
    return connection.execute(query.order_by(rows.id)).mappings().all()


def _asked(connection: Connection, model: str, end: datetime) -> list[tuple[str, datetime]]:
    """Requests that stand whatever the thresholds are: of people, the schedule, other systems, and for facts but the age."""
    facts = tuple(fact for fact in FACTS if fact != "age")
    found = []
    for row in _requests(connection, model, end):
        if row["source"] != "signal" or row["cause"].get("kind") in facts:
            found.append((str(row["source"]), row["requested_at"]))
    return found


def _looks(connection: Connection, model: str, begin: datetime, end: datetime) -> list[RolloutLook]:
    numbers = {row.id: row.version for row in connection.execute(select(rollouts).where(rollouts.c.model == model))}
    query = select(ledger).where(ledger.c.model == model, ledger.c.kind == "rollout", ledger.c.phase == "done")
    query = query.where(ledger.c.at >= begin, ledger.c.at < end).order_by(ledger.c.id)
    found = []
    for row in connection.execute(query).mappings():
        number = _rollout_of(row["idempotency_key"])
        if number in numbers:
            found.append(_look(number, numbers[number], row))
    return found


def _rollout_of(key: str | None) -> int:
    parts = (key or "").split(":")
    return int(parts[1]) if parts[0] == "rollout" and len(parts) > 1 and parts[1].isdecimal() else 0


def _look(number: int, version: int, row: RowMapping) -> RolloutLook:
    told: list[dict[str, Any]] = row["evidence"].get("verdicts", [])
    drop = next((one.get("evidence", {}).get("drop_lower") for one in told if one["check"] == "performance"), None)
    failed = tuple(one["check"] for one in told if one["outcome"] == "fail")
    return RolloutLook(number, version, row["at"], row["act"], None if drop is None else float(drop), failed)


def _happened(connection: Connection, model: str, begin: datetime, end: datetime) -> list[Event]:
    """Signals that opened, questions, trainings and ways back, as the tables have them."""
    query = select(ledger).where(ledger.c.model == model, ledger.c.at >= begin, ledger.c.at < end).order_by(ledger.c.id)
    found = []
    for row in connection.execute(query.where(ledger.c.kind.in_(("signal", "rollback", "rollout", "approval")))).mappings():
        act, told = str(row["act"]), (row["at"], str(row["reason"]), row["version_before"])
        if row["kind"] == "signal" and act.startswith("opened signal "):
            found.append(Event(told[0], "alarm", act.removeprefix("opened signal "), told[1], told[2]))
        elif row["kind"] == "approval" and act.startswith("ask"):
            found.append(Event(told[0], "question", act, told[1]))
        elif row["phase"] == "done" and (row["kind"] == "rollback" or (row["kind"] == "rollout" and act == "roll_back")):
            found.append(Event(told[0], "rollback", act, told[1], told[2]))
    trained = [
        Event(row["requested_at"], "training", str(row["cause"].get("cause") or row["source"]), row["reason"], row["version"])
        for row in _requests(connection, model, end)
        if row["requested_at"] >= begin
    ]
    return sorted([*found, *trained], key=lambda event: event.at)
