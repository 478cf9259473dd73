"""The monitoring stage of one model: due windows -> measurements -> rows, health and signals. Reports are a later task's.

It never trains, deploys or rolls back. Killed and run again it measures what is still due and doubles nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import RowMapping, select

from include.lifecycle.data.training_source import Access
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import LifecycleError, SourceUnavailableError
from include.lifecycle.monitoring.counting.arrays import count_window
from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.counting.keeping import keep_counts
from include.lifecycle.monitoring.counting.scheme import scheme_of
from include.lifecycle.monitoring.inputs.past import Past, read_past
from include.lifecycle.monitoring.labels import Labels, fetch_labels, labelled_predictions
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.monitoring.predictions import microseconds, open_log
from include.lifecycle.monitoring.profile import Profile, read_profile
from include.lifecycle.monitoring.signals import refresh_signals, standings
from include.lifecycle.monitoring.windows import (
    Measured,
    Window,
    expects_news,
    finished_windows,
    is_due,
    look_back,
    neighbours,
    newest_revisions,
    newest_version,
    read_measured,
    store_window,
)
from include.lifecycle.results import MonitoredModel
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import desired_traffic
from include.lifecycle.verdicts import Outcome, Verdict

log = logging.getLogger(__name__)

Profiles = Callable[[int], Profile]


@dataclass(frozen=True)
class _Look:
    """What one run found: rows to store, and verdicts about the run itself; and what was known before."""

    rows: list[dict[str, Any]]
    notes: list[Verdict]
    past: Past
    counted: dict[tuple[Window, int], tuple[Profile, WindowCounts]] = field(default_factory=dict)


def monitor_model(
    spec: ModelSpec, rt: Runtime, run: RunContext, access: Access, *, profiles: Profiles | None = None
) -> MonitoredModel:
    """Measure every due window of every version that served, and refresh the model's signals.

    `access`: database of the labels query, or the S3 account of a dataset. `profiles`: where a version's reference comes from
    (default: the registry).

    Raises:
        SourceUnavailableError: our database, the prediction log or MLflow did not answer; nothing was stored (retryable).
    """
    now, read = rt.clock.now(), profiles or (lambda version: _registered_profile(rt, spec.name, version))
    known: dict[int, Profile | None] = {}
    seen = look_back(spec.monitoring.window, spec.labels.mature_after)
    look = _look(spec, rt, access, now, lambda version: known.setdefault(version, _profile_or_none(read, version)))
    keep_counts(rt, spec, look.counted, now)
    with transaction(rt.engine) as connection:
        lock_model(connection, spec.name)
        stored = [found for row in look.rows if (found := store_window(connection, row)) is not None]
        champion = connection.execute(select(desired_traffic.c.champion).where(desired_traffic.c.model == spec.name)).scalar()
        version = champion if champion is not None else newest_version(connection, spec.name)
        history: list[RowMapping] = [] if version is None else newest_revisions(connection, spec.name, version, seen)
        opened = []
        if version is not None:
            standing = standings([_judged(row) for row in history], spec.retraining.confirm)
            opened = refresh_signals(connection, spec, rt, run, version=version, found=standing)
    newest = {verdict.check: verdict for verdict in (_judged(history[0])[1] if history else [])}
    return MonitoredModel(
        model=spec.name,
        windows=stored,
        signals=opened,
        health=next((row["health"] for row in history if row["health"] is not None), None),
        verdicts=[*(newest | {verdict.check: verdict for verdict in look.notes}).values()],
    )


def _look(spec: ModelSpec, rt: Runtime, access: Access, now: datetime, profile_of: Callable[[int], Profile | None]) -> _Look:
    mature_after = spec.labels.mature_after
    windows = finished_windows(now, spec.monitoring.window, look_back(spec.monitoring.window, mature_after))
    with transaction(rt.engine) as connection:
        measured, past = read_measured(connection, spec.name, windows[0].start), read_past(connection, spec.name)
    by_window: dict[Window, list[Measured]] = {}
    for (window, _), one in measured.items():
        by_window.setdefault(window, []).append(one)
    worth = [window for window in windows if expects_news(window, by_window.get(window, []), mature_after, now)]
    found = _Look([], [], past)
    for part in neighbours(worth):
        found = _look_at(spec, rt, access, now, part, measured, profile_of, found)
    return found


def _look_at(
    spec: ModelSpec,
    rt: Runtime,
    access: Access,
    now: datetime,
    part: Sequence[Window],
    measured: dict[tuple[Window, int], Measured],
    profile_of: Callable[[int], Profile | None],
    found: _Look,
) -> _Look:
    """Add to `found` what neighbouring windows show: one read of the log, one of the labels."""
    since, until = part[0].start, part[-1].end
    rows, notes, counted = list(found.rows), list(found.notes), dict(found.counted)
    with open_log(spec, rt.storage.predictions(spec.name), since, until, configured=rt.settings) as log:
        identities = log.identities()
        labels = _labels(spec, rt, access, (since, until), now, notes) if identities[0].size else Labels({}, np.empty(0))
        for window, version in _due(part, identities, labels, measured, now=now, spec=spec):
            predictions, last = log.read(version, window), measured.get((window, version))
            labelled, profile = labelled_predictions(predictions, labels), profile_of(version)
            if profile is not None:
                counted[window, version] = profile, count_window(scheme_of(profile), predictions, spec.objective.classes)
            found.past.started.setdefault(version, window.start)
            row = measure_window(spec, profile, predictions, labelled, now=now, notes=notes, past=found.past)
            rows.append(row | {"revision": last.revision + 1 if last else 1})
    return _Look(rows, notes, found.past, counted)


def _labels(
    spec: ModelSpec, rt: Runtime, access: Access, span: tuple[datetime, datetime], now: datetime, notes: list[Verdict]
) -> Labels:
    """Mature labels; a labels database that fails leaves drift measured and performance inconclusive."""
    try:
        return fetch_labels(spec, rt.settings, access, *span, now)
    except LifecycleError as problem:
        notes.append(Verdict(check="labels", outcome=Outcome.INCONCLUSIVE, reason=str(problem)))
        return Labels({}, np.empty(0))


def _due(
    windows: Sequence[Window],
    rows: tuple[Any, Any, Any],
    labels: Labels,
    measured: dict[tuple[Window, int], Measured],
    *,
    now: datetime,
    spec: ModelSpec,
) -> list[tuple[Window, int]]:
    """Windows and versions to measure now, oldest first."""
    versions, times, keys = rows
    mature = np.isfinite(labels.match(keys, times))
    found = []
    for window in windows:
        inside = (times >= microseconds(window.start)) & (times < microseconds(window.end))
        for version in np.unique(versions[inside]).tolist():
            of = inside & (versions == version)
            last = measured.get((window, version))
            counts = int(of.sum()), int(mature[of].sum())
            if is_due(window, *counts, last, now=now, mature_after=spec.labels.mature_after):
                found.append((window, int(version)))
    return found


def _registered_profile(rt: Runtime, model: str, version: int) -> Profile:
    from include.lifecycle.registry.artefacts import materialise_profile

    return read_profile(materialise_profile(rt, model, version))


def _profile_or_none(read: Profiles, version: int) -> Profile | None:
    """The profile, or None when this version never had a good one; an MLflow that is down is no reason to judge without it."""
    try:
        return read(version)
    except SourceUnavailableError:
        raise
    except LifecycleError as problem:
        log.warning("version %d is judged without a reference profile: %s", version, problem)
        return None


def _judged(row: RowMapping) -> tuple[Window, list[Verdict]]:
    return Window(row["window_start"], row["window_end"]), [Verdict.model_validate(plain) for plain in row["verdicts"]]
