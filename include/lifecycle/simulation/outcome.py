"""The replay's answer: the objective metric of each strategy, window by window, regret, cost, and the timeline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import URL

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.evaluation.metrics import objective_metric
from include.lifecycle.runtime import Runtime
from include.lifecycle.simulation.history import read_history
from include.lifecycle.simulation.replay import Course, Replay
from include.lifecycle.simulation.trainer import Trainer
from include.lifecycle.spec import ModelSpec

EVERY = {"primary": timedelta(days=7), "secondary": timedelta(days=30)}
"""How often the rival that always retrains does so: as often as the tier's schedule."""


@dataclass(frozen=True)
class Simulation:
    """What was replayed; `scores` holds, per window, its start, rows, and each strategy's metric (None: undefined)."""

    model: str
    metric: str
    greater_is_better: bool
    start: datetime
    end: datetime
    courses: Sequence[Course]
    scores: Sequence[dict[str, Any]]

    def mean(self, name: str) -> float:
        """A strategy's metric over all windows in which every strategy has one, weighted by rows; NaN without any."""
        names = [course.name for course in self.courses]
        known = [row for row in self.scores if all(row[each] is not None for each in names)]
        rows = sum(row["rows"] for row in known)
        return sum(row[name] * row["rows"] for row in known) / rows if rows else math.nan

    def regret(self, against: str) -> float:
        """By how much `against` did better than the policy; negative where the policy did better."""
        difference = self.mean(against) - self.mean("policy")
        return difference if self.greater_is_better else -difference

    def plain(self) -> dict[str, Any]:
        """JSON-plain; all but `cpu_seconds` is the same each time."""
        strategies = {
            course.name: {
                self.metric: _finite(self.mean(course.name)),
                "trainings": course.trainings,
                "promotions": len(course.reigns) - 1,
                "alarms": sum(event.kind == "alarm" for event in course.events),
                "cpu_seconds": round(course.cpu_seconds, 2),
            }
            for course in self.courses
        }
        policy = next(course for course in self.courses if course.name == "policy")
        events = [
            {
                "at": event.at.isoformat(),
                "kind": event.kind,
                "subject": event.subject,
                "reason": event.reason,
                "version": event.version,
            }
            for event in policy.events
        ]
        return {
            "model": self.model,
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "metric": self.metric,
            "strategies": strategies,
            "regret": {rival: _finite(self.regret(rival)) for rival in ("never", "always")},
            "windows": list(self.scores),
            "timeline": events,
        }


def simulate(
    spec: ModelSpec,
    rt: Runtime,
    url: URL | None,
    start: datetime,
    end: datetime,
    *,
    trials: int,
    schedule: bool = True,
    every: timedelta | None = None,
) -> Simulation:
    """Replay event time [start, end); files lie in a temporary folder, everything else in memory.

    Raises:
        DataInvalidError: no whole window between start and end, or no first model can be trained from the data before `start`.
        SourceUnavailableError, SourceQueryError: the source did not answer, or refused.
    """
    with TemporaryDirectory(prefix="modelops-simulate-") as temporary:
        folder = Path(temporary)
        history = read_history(spec, rt, url, start - spec.data.window, end, folder)
        replay = Replay(history, Trainer(history, folder / "trainings", trials), start, end, schedule)
        windows = replay.windows()
        if not windows:
            length = spec.monitoring.window
            raise DataInvalidError(f"{spec.name}: no whole window of {length} between {start} and {end}")
        first = replay.first()
        courses = [replay.policy(first), replay.never(first), replay.always(first, every or EVERY[spec.tier])]
        metric, scores = objective_metric(spec), []
        for window in windows:
            row: dict[str, Any] = {"start": window.start.isoformat(), "rows": len(history.rows(window.start, window.end))}
            for course in courses:
                labels, predicted = replay.scores(course, window)
                row[course.name] = _finite(metric.score(labels, predicted)) if len(labels) else None
            scores.append(row)
    return Simulation(spec.name, metric.name, metric.greater_is_better, start, end, courses, scores)


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
