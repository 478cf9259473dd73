"""What one model's report is made of, read in one snapshot of the database; the parts only arrange it. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, CursorResult, Table, func, select, text

from include.lifecycle.reporting.periodic.period import Period
from include.lifecycle.reporting.periodic.runs import TrainingRun, training_runs
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import (
    alerts,
    desired_traffic,
    freezes,
    incidents,
    ledger,
    questions,
    rollouts,
    signals,
    training_requests,
)

Row = Mapping[str, Any]
MOST_ENTRIES = 20_000
"""Ledger entries of one period that are read, the newest."""
# A quarter of hourly windows holds a hundred megabytes of evidence; what the reports show of it is a fifth.
_VERDICTS = """
(SELECT coalesce(jsonb_agg(jsonb_build_object(
    'check', v->'check', 'outcome', v->'outcome', 'reason', CASE WHEN v->>'outcome' <> 'pass' THEN v->'reason' END,
    'evidence', jsonb_strip_nulls(jsonb_build_object(
        'effect', v#>'{evidence,effect}', 'threshold', v#>'{evidence,threshold}', 'lower', v#>'{evidence,lower}',
        'value', v#>'{evidence,value}', 'skill', v#>'{evidence,skill}',
        'reference_value', v#>'{evidence,reference_value}', 'reference_skill', v#>'{evidence,reference_skill}')))), '[]')
 FROM jsonb_array_elements(verdicts) v)"""
_WINDOWS = """
SELECT DISTINCT ON (window_start, window_end, version)
    version, window_start, window_end, rows, mature_rows, health, health_parts, measurements, {verdicts} AS verdicts
FROM windows WHERE model = :model AND window_start >= :since AND window_start < :until
ORDER BY window_start, window_end, version, revision DESC"""


@dataclass(frozen=True)
class Material:
    """One model in one period. `windows`: newest revisions since `period.trend_start`, oldest first; other rows: see each."""

    spec: ModelSpec
    period: Period
    now: datetime
    wall_now: datetime
    """The database's clock; people answer in wall time."""
    windows: Sequence[Row] = field(default_factory=list)
    entries: Sequence[Row] = field(default_factory=list)
    """Ledger entries of the period, oldest first."""
    requests: Sequence[Row] = field(default_factory=list)
    """Training requests since `period.trend_start`."""
    runs: Sequence[TrainingRun] = field(default_factory=list)
    """Training runs that ended since `period.trend_start`."""
    rollouts: Sequence[Row] = field(default_factory=list)
    """Rollouts that were open in the period."""
    signals: Sequence[Row] = field(default_factory=list)
    """Signals that were seen in the period, or stand open."""
    alerts: Sequence[Row] = field(default_factory=list)
    """Alerts that were seen in the period, or are not resolved."""
    incidents: Sequence[Row] = field(default_factory=list)
    questions: Sequence[Row] = field(default_factory=list)
    champion: int | None = None
    frozen: str | None = None

    @property
    def current(self) -> list[Row]:
        """The windows of the period itself."""
        return [row for row in self.windows if row["window_start"] >= self.period.start]

    @property
    def champion_windows(self) -> list[Row]:
        """Windows since `period.trend_start`, of each the version that answered most."""
        most: dict[datetime, Row] = {}
        for row in self.windows:
            if (other := most.get(row["window_start"])) is None or row["rows"] > other["rows"]:
                most[row["window_start"]] = row
        return list(most.values())

    @property
    def until(self) -> datetime:
        """The period's end, or now when it is not over."""
        return min(self.period.end, self.now)


def read_material(connection: Connection, spec: ModelSpec, period: Period, now: datetime, *, whole: bool = True) -> Material:
    """Read everything about `spec` in `period`; not `whole`: what figures need, without verdicts and what was before."""
    since, until = period.trend_start if whole else period.start, period.end
    query = text(_WINDOWS.replace("{verdicts}", _VERDICTS if whole else "'[]'::jsonb"))
    windows = _plain(connection.execute(query, {"model": spec.name, "since": since, "until": until}))
    name, asked, seen = spec.name, training_requests.c.requested_at, signals.c
    champion = select(desired_traffic.c.champion).where(desired_traffic.c.model == name)
    frozen = select(freezes.c.reason).where(freezes.c.model.in_((name, "*"))).limit(1)
    in_signals = (seen.first_seen < until) & ((seen.state == "open") | (seen.last_seen >= period.start))
    ended = rollouts.c.finished_at.is_(None) | (rollouts.c.finished_at >= period.start)
    return Material(
        spec=spec,
        period=period,
        now=now,
        windows=windows,
        entries=_entries(connection, name, period),
        requests=_rows(connection, training_requests, name, (asked >= since) & (asked < until)),
        runs=training_runs(connection, name, since, until),
        rollouts=_rows(connection, rollouts, name, (rollouts.c.created_at < until) & ended),
        signals=_rows(connection, signals, name, in_signals),
        alerts=read_alerts(connection, name, period),
        incidents=_rows(connection, incidents, name, _opened_in(incidents, period)),
        questions=_rows(connection, questions, name, (questions.c.asked_at >= period.start) & (questions.c.asked_at < until)),
        champion=connection.execute(champion).scalar(),
        frozen=connection.execute(frozen).scalar(),
        wall_now=connection.execute(select(func.now())).scalar_one(),
    )


def read_alerts(connection: Connection, model: str, period: Period) -> list[Row]:
    """Alerts of a model, or of the platform, that were seen in the period or are not resolved."""
    return _rows(connection, alerts, model, _told_in(alerts, period))


def _told_in(table: Table, period: Period) -> Any:
    return (table.c.first_seen < period.end) & ((table.c.state != "resolved") | (table.c.last_seen >= period.start))


def _opened_in(table: Table, period: Period) -> Any:
    return (table.c.opened_at < period.end) & ((table.c.state == "open") | (table.c.last_seen >= period.start))


def _rows(connection: Connection, table: Table, model: str, where: Any) -> list[Row]:
    query = select(table).where(table.c.model == model, where).order_by(table.c.id)
    return _plain(connection.execute(query))


def _entries(connection: Connection, model: str, period: Period) -> list[Row]:
    query = select(ledger).where(ledger.c.model == model, ledger.c.at >= period.start, ledger.c.at < period.end)
    newest = query.order_by(ledger.c.id.desc()).limit(MOST_ENTRIES)
    return _plain(connection.execute(newest))[::-1]


def _plain(found: CursorResult[Any]) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in found.mappings()]
