"""The numbers of one model in one period: the summary of its report, its row in the fleet's, and what `--json` prints. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from include.lifecycle.reporting.periodic.material import Material, Row
from include.lifecycle.spec import ModelSpec

DOWN, UP, WATCHDOG = "model_down", "model_up", "watchdog"
_SEVERITIES = ("P0", "P1", "P2", "P3")


class Figures(BaseModel):
    """Shares are fractions, None where nothing was there to measure; `cost` is in `currency`, an estimate by `reports.prices`."""

    model_config = ConfigDict(frozen=True)

    model: str
    kind: str
    period: str
    start: datetime
    end: datetime
    champion: int | None
    frozen: bool
    windows: int
    predictions: int
    label_coverage: float | None
    health_newest: float | None
    health_mean: float | None
    health_lowest: float | None
    signals_opened: int
    signals_open: int
    trainings: int
    trainings_failed: int
    trainings_promoted: int
    trainings_planned: int
    rollouts_ended: int
    rollouts_promoted: int
    rollouts_back: int
    alerts: dict[str, int]
    alerts_standing: int
    responses_in_time: float | None
    response_minutes: float | None
    incidents: int
    availability: float | None
    pipeline_success: float | None
    training_hours: float
    serving_hours: float
    cost: float
    currency: str


def figures_of(material: Material) -> Figures:
    """The numbers of the material's period."""
    spec, period = material.spec, material.period
    current = material.current
    healths = [row["health"] for row in current if row["health"] is not None]
    runs = [run for run in material.runs if run.at >= period.start]
    ended = [row for row in material.rollouts if row["finished_at"] is not None and row["finished_at"] < period.end]
    told = [row for row in material.alerts if row["first_seen"] >= period.start]
    responses = response_times(material)
    training, serving = sum(run.seconds or 0.0 for run in runs) / 3600, serving_hours(spec, current)
    prices = spec.reports.prices
    return Figures(
        model=spec.name,
        kind=period.kind,
        period=period.name,
        start=period.start,
        end=period.end,
        champion=material.champion,
        frozen=material.frozen is not None,
        windows=len(current),
        predictions=sum(row["rows"] for row in current),
        label_coverage=label_coverage(spec, current, material.now),
        health_newest=healths[-1] if healths else None,
        health_mean=statistics.fmean(healths) if healths else None,
        health_lowest=min(healths) if healths else None,
        signals_opened=sum(row["first_seen"] >= period.start for row in material.signals),
        signals_open=sum(row["state"] == "open" for row in material.signals),
        trainings=len(runs),
        trainings_failed=sum(run.failed for run in runs),
        trainings_promoted=sum(run.rollout == "promoted" for run in runs),
        trainings_planned=planned_trainings(spec, period.start, material.until),
        rollouts_ended=len(ended),
        rollouts_promoted=sum(row["state"] == "promoted" for row in ended),
        rollouts_back=sum(row["state"] == "rolled_back" for row in ended),
        alerts={severity: count for severity in _SEVERITIES if (count := Counter(row["severity"] for row in told)[severity])},
        alerts_standing=sum(row["state"] != "resolved" for row in material.alerts),
        responses_in_time=statistics.fmean(in_time for _, _, in_time in responses) if responses else None,
        response_minutes=statistics.median(time.total_seconds() for _, time, _ in responses) / 60 if responses else None,
        incidents=sum(row["opened_at"] >= period.start for row in material.incidents),
        availability=availability(material),
        pipeline_success=1 - statistics.fmean(run.failed for run in runs) if runs else None,
        training_hours=training,
        serving_hours=serving,
        cost=training * prices.training_hour + serving * prices.serving_hour,
        currency=prices.currency,
    )


def label_coverage(spec: ModelSpec, windows: Sequence[Row], now: datetime) -> float | None:
    """Share of predictions that have a mature label, in windows whose labels all had time to mature."""
    due = [row for row in windows if row["window_end"] + spec.labels.mature_after <= now]
    rows = sum(row["rows"] for row in due)
    return sum(row["mature_rows"] for row in due) / rows if rows else None


def serving_hours(spec: ModelSpec, windows: Sequence[Row]) -> float:
    """Hours of servers: a version that answered in a window had `server.replicas` of them for its length."""
    seconds = sum(((row["window_end"] - row["window_start"]) for row in windows), timedelta()).total_seconds()
    return seconds / 3600 * spec.server.replicas


def planned_trainings(spec: ModelSpec, start: datetime, end: datetime) -> int:
    """Slots of the model's schedule in [start, end)."""
    from croniter import croniter

    from include.lifecycle.decisions.schedule import cron_of

    if (cron := cron_of(spec)) is None or end <= start:
        return 0
    slots, count = croniter(cron, start - timedelta(microseconds=1)), 0
    while slots.get_next(datetime) < end:
        count += 1
    return count


def response_times(material: Material) -> list[tuple[Row, timedelta, bool]]:
    """Alerts of the period with how long it took until somebody answered or the cause was over, and whether that was in time.

    Wall time, as `alerts.respond_within` is. An alert that nobody answered counts once its time is over, as late by now.
    """
    found = []
    for row in material.alerts:
        if row["first_seen"] < material.period.start:
            continue
        allowed: timedelta = getattr(material.spec.alerts.respond_within, row["severity"])
        answered = row["answered_wall_at"] is not None
        took = (row["answered_wall_at"] or material.wall_now) - row["wall_at"]
        if answered or took > allowed:
            found.append((row, took, answered and took <= allowed))
    return found


def outages(material: Material) -> list[tuple[datetime, timedelta]]:
    """When the model had no healthy server, by the watchdog's entries: event time of its beginning, and length (wall time).

    One that had begun before the period begins with it; one that lasts ends with the period, or now.
    """
    period, found = material.period, []
    down: Row | None = None
    entries = [row for row in material.entries if row["actor"] == WATCHDOG and row["act"] in (DOWN, UP)]
    for row in entries:
        if row["act"] == DOWN:
            down = down or row
        elif down is not None:
            found.append((down["at"], _told_at(row) - _told_at(down) + _patience(down)))
            down = None
        elif not found:
            found.append((period.start, row["at"] - period.start))
    if down is not None:
        found.append((down["at"], material.until - down["at"] + _patience(down)))
    return found


def availability(material: Material) -> float | None:
    """Share of the period so far with a healthy server; None when nothing says that the model served in it."""
    length, down = (material.until - material.period.start).total_seconds(), outages(material)
    serves = material.champion is not None and material.now < material.period.end
    if length <= 0 or not (serves or down or material.current):
        return None
    return max(0.0, 1 - sum(lasted.total_seconds() for _, lasted in down) / length)


def _patience(row: Row) -> timedelta:
    """How long the model had been down when the watchdog told it."""
    return timedelta(seconds=float(row["evidence"].get("seconds", 0.0)))


def _told_at(row: Row) -> datetime:
    """When the watchdog saw it (wall time); the ledger hears of it minutes later."""
    return datetime.fromisoformat(row["evidence"]["wall_at"]) if "wall_at" in row["evidence"] else row["at"]
