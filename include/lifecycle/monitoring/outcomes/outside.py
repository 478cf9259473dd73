"""What is known about a window beside its predictions: other versions' rows, recent weeks, label rows, ways to ask for more.

monitor.py makes one OutsideReader per run and hands each window its Outside; a check that needs a source asks it lazily, so that
what does not answer makes that check inconclusive and no other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.data.training_source import Access
from include.lifecycle.monitoring.labels import Arrivals
from include.lifecycle.monitoring.outcomes.business import Ask, database_asker
from include.lifecycle.monitoring.outcomes.label_flow import LabelFlow, flow_of
from include.lifecycle.monitoring.outcomes.recent import Recent
from include.lifecycle.monitoring.outcomes.resources import PrometheusUsage, Usage
from include.lifecycle.monitoring.predictions import Objects, PredictionLog, Predictions, Times
from include.lifecycle.monitoring.windows import Window, microseconds
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    from include.settings import Settings


@dataclass(frozen=True)
class Outside:
    """`rows`: of all versions in the window. `flow`: its label rows, None where labels could not be asked for."""

    rows: int
    recent: Recent = field(default_factory=Recent)
    flow: LabelFlow | None = None
    ask: Ask | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class OutsideReader:
    """Of one range of the log: `times` (microseconds) and `keys` of all its rows, and its label rows (None: not to be had)."""

    spec: ModelSpec
    settings: Settings
    access: Access
    recent: Recent
    times: Times
    keys: Objects
    arrivals: Arrivals | None
    prometheus_down: list[str] = field(default_factory=list)

    @cached_property
    def ask(self) -> Ask:
        """Asks for business numbers, each window once: versions share them, and weeks overlap."""
        return database_asker(self.spec, self.settings, self.access)

    def of(self, log: PredictionLog, predictions: Predictions) -> Outside:
        """What is known beside one version's window."""
        window, spec = predictions.window, self.spec
        inside = (self.times >= microseconds(window.start)) & (self.times < microseconds(window.end))
        asked = set(zip(self.keys[inside], self.times[inside].tolist(), strict=True))
        flow = flow_of(self.arrivals, window, asked) if self.arrivals is not None else None
        return Outside(
            rows=int(inside.sum()),
            recent=self.recent,
            flow=flow,
            ask=self.ask if spec.monitoring.business else None,
            usage=usage_of(spec, self.settings, predictions, self.prometheus_down, log),
        )

    def silent(self) -> Outside:
        """What is known beside a window in which no version answered."""
        return Outside(rows=0, recent=self.recent)


def usage_of(
    spec: ModelSpec, settings: Settings, predictions: Predictions, down: list[str], log: PredictionLog | None = None
) -> Usage | None:
    """Asks Prometheus about the wall time in which the window's rows were logged; None where no limit needs it.

    `down`: see PrometheusUsage. `log`: says that time exactly; without it the rows that are held do, be they a sample.
    """
    limits = spec.monitoring.resources
    if not predictions.rows or (limits.cpu, limits.memory, limits.error_rate) == (None, None, None):
        return None
    since, until = _held(predictions) if log is None else log.logged_between(predictions.version, predictions.window)
    return PrometheusUsage(settings.prometheus_url, spec.name, predictions.version, since, until, down)


def _held(predictions: Predictions) -> tuple[float, float]:
    told = np.empty(0) if predictions.logged is None else predictions.logged[predictions.logged > 0] / 1e6
    return (float(told.min()), float(told.max())) if told.size else (0.0, 0.0)


def silent_window(version: int, window: Window) -> Predictions:
    """The window of a version that nobody asked anything."""
    nothing = np.empty(0)
    return Predictions(version, window, np.empty(0, np.int64), np.empty(0, object), nothing, nothing, {})


def expected_but_silent(
    spec: ModelSpec, windows: list[Window], times: Times, known: set[Window], recent: Recent, champion_since: datetime | None
) -> list[Window]:
    """Finished windows in which no version answered though recent weeks say that it should have, and that no row tells of yet.

    `champion_since`: from when on some version has answered (None: never, so nobody can miss it).
    """
    from include.lifecycle.monitoring.outcomes.traffic import expects_traffic

    found = []
    for window in windows:
        if window in known or champion_since is None or window.start < champion_since:
            continue
        inside = (times >= microseconds(window.start)) & (times < microseconds(window.end))
        if not inside.any() and expects_traffic(spec, window, recent):
            found.append(window)
    return found
