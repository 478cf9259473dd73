"""The monitoring stage of one model: due windows -> measurements -> rows, health and signals. Reports are a later task's.

It never trains, deploys or rolls back. Killed and run again it measures what is still due and doubles nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.data.training_source import Access
from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import DataInvalidError, LifecycleError, SourceUnavailableError
from include.lifecycle.monitoring.counting.arrays import count_window
from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.counting.keeping import keep_counts
from include.lifecycle.monitoring.counting.large import read_large
from include.lifecycle.monitoring.counting.scheme import scheme_of
from include.lifecycle.monitoring.counting.shards import forget_shards
from include.lifecycle.monitoring.counting.slices import estimated_rows
from include.lifecycle.monitoring.cutting import Logged, due_windows, read_from
from include.lifecycle.monitoring.inputs.past import Past, read_past
from include.lifecycle.monitoring.labels import Labels, fetch_labels, labelled_predictions
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.monitoring.outcomes.business import database_asker
from include.lifecycle.monitoring.outcomes.label_flow import LabelFlow, flow_of
from include.lifecycle.monitoring.outcomes.outside import Outside, OutsideReader, expected_but_silent, silent_window, usage_of
from include.lifecycle.monitoring.outcomes.recent import Recent, read_recent
from include.lifecycle.monitoring.predictions import Predictions, open_log
from include.lifecycle.monitoring.profile import Profile, read_profile
from include.lifecycle.monitoring.signals import refresh_signals, standings
from include.lifecycle.monitoring.windows import (
    Measured,
    Window,
    expects_news,
    finished_windows,
    neighbours,
    newest_end,
    newest_revisions,
    newest_version,
    read_measured,
    store_window,
    windows_back,
)
from include.lifecycle.results import MonitoredModel
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import desired_traffic
from include.lifecycle.verdicts import Outcome, Verdict

log = logging.getLogger(__name__)

Profiles = Callable[[int], Profile]


@dataclass
class _Look:
    """One look at one model: what it works with, what was known before, and what it found: rows to store, verdicts about the run
    itself, and what the windows count."""

    spec: ModelSpec
    rt: Runtime
    access: Access
    now: datetime
    profile_of: Callable[[int], Profile | None]
    past: Past
    measured: dict[tuple[Window, int], Measured]
    recent: Recent
    champion: int | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[Verdict] = field(default_factory=list)
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
    now = rt.clock.now()
    seen = windows_back(spec)
    look = _look(spec, rt, access, now, usable_profiles(rt, spec.name, profiles))
    keep_counts(rt, spec, look.counted, now)
    with transaction(rt.engine) as connection:
        lock_model(connection, spec.name)
        stored = [found for row in look.rows if (found := store_window(connection, row)) is not None]
        champion = _champion(connection, spec.name)
        version = champion if champion is not None else newest_version(connection, spec.name)
        history: list[RowMapping] = [] if version is None else newest_revisions(connection, spec.name, version, seen)
        opened = []
        if version is not None:
            standing = standings([_judged(row) for row in history], spec.retraining.confirm)
            opened = refresh_signals(connection, spec, rt, run, version=version, found=standing)
    for window, _ in look.counted:
        forget_shards(rt.storage, spec.name, window)
    newest = {verdict.check: verdict for verdict in (_judged(history[0])[1] if history else [])}
    return MonitoredModel(
        model=spec.name,
        windows=stored,
        signals=opened,
        health=next((row["health"] for row in history if row["health"] is not None), None),
        verdicts=[*(newest | {verdict.check: verdict for verdict in look.notes}).values()],
    )


def _look(spec: ModelSpec, rt: Runtime, access: Access, now: datetime, profile_of: Callable[[int], Profile | None]) -> _Look:
    windows = finished_windows(now, spec.monitoring.window, windows_back(spec))
    with transaction(rt.engine) as connection:
        champion = _champion(connection, spec.name)
        ended, folder = newest_end(connection, spec.name, champion), rt.storage.predictions(spec.name)
        since = read_from(spec, folder, windows[0].start, ended, now)
        measured, past = read_measured(connection, spec.name, since), read_past(connection, spec, rt.storage, now)
        recent = read_recent(connection, spec, since)
    look = _Look(spec, rt, access, now, profile_of, past, measured, recent, champion)
    for part in _parts(look, windows, since):
        estimated = estimated_rows(rt.storage.predictions(spec.name), part[0].start, part[-1].end)
        if spec.monitoring.window_by == "time" and estimated > spec.monitoring.exact_rows:
            for window in part:
                _one_by_one(look, window)
        else:
            _together(look, part)
    return look


def _parts(look: _Look, windows: list[Window], since: datetime) -> list[list[Window]]:
    """What is read from the log at once: neighbouring windows of the clock that expect news; by count or labels all there is."""
    if look.spec.monitoring.window_by != "time":
        return [[Window(since, look.now)]]
    by_window: dict[Window, list[Measured]] = {}
    for (window, _), one in look.measured.items():
        by_window.setdefault(window, []).append(one)
    mature_after = look.spec.labels.mature_after
    return neighbours([one for one in windows if expects_news(one, by_window.get(one, []), mature_after, look.now)])


def _together(look: _Look, part: list[Window]) -> None:
    """Measure neighbouring windows: one read of the log, one of the labels."""
    spec, span = look.spec, (part[0].start, part[-1].end)
    with open_log(spec, look.rt.storage.predictions(spec.name), *span, configured=look.rt.settings) as log:
        versions, times, keys = log.identities()
        labels = _labels(look, span) if versions.size else Labels({}, np.empty(0))
        rows = Logged(versions, times, np.isfinite(labels.match(keys, times)))
        beside = OutsideReader(spec, look.rt.settings, look.access, look.recent, times, keys, labels.arrivals)
        for window, version in due_windows(part, rows, look.measured, now=look.now, spec=spec):
            predictions = log.read(version, window)
            _measure(look, predictions, labels, beside.of(log, predictions))
    if spec.monitoring.window_by == "time" and look.champion is not None:
        known, since = {window for window, _ in look.measured}, min(look.past.started.values(), default=None)
        for window in expected_but_silent(spec, part, times, known, look.recent, since):
            silent = replace(silent_window(look.champion, window), access=log.access)  # refused requests leave no rows
            _measure(look, silent, labels, beside.silent())


def _one_by_one(look: _Look, window: Window) -> None:
    """Measure one window; slice by slice when it is too large: when it ended, and once more when its labels are mature."""
    spec, rt = look.spec, look.rt
    estimated = estimated_rows(rt.storage.predictions(spec.name), window.start, window.end)
    if spec.monitoring.counting == "exact" or estimated <= spec.monitoring.exact_rows:
        _together(look, [window])
        return
    known, matured = [one for (other, _), one in look.measured.items() if other == window], window.end + spec.labels.mature_after
    if known and not (look.now >= matured and min(one.measured_at for one in known) < matured):
        return
    flows, down = list[LabelFlow](), list[str]()

    def _labels_of(part: Window) -> Labels:
        found = _labels(look, (part.start, part.end))
        if found.arrivals is not None:
            flows.append(flow_of(found.arrivals, part, None))
        return found

    versions, labels = read_large(spec, rt, window, estimated, look.profile_of, _labels_of)
    flow = sum(flows, LabelFlow(0)) if flows else None
    rows, ask = sum(predictions.total for predictions in versions), database_asker(spec, rt.settings, look.access)
    for predictions in versions:
        _measure(look, predictions, labels, Outside(rows, look.recent, flow, ask, usage_of(spec, rt.settings, predictions, down)))


def _measure(look: _Look, predictions: Predictions, labels: Labels, outside: Outside) -> None:
    """Add one version's window to what the look found."""
    spec, window, version = look.spec, predictions.window, predictions.version
    profile, last = look.profile_of(version), look.measured.get((window, version))
    if profile is not None and predictions.rows:
        counts = predictions.counts or count_window(scheme_of(profile), predictions, spec.objective.classes)
        look.counted[window, version] = profile, counts
        if spec.monitoring.counting == "counts":
            predictions = replace(predictions, counts=counts)
    look.past.started.setdefault(version, window.start)
    labelled = labelled_predictions(predictions, labels)
    row = measure_window(spec, profile, predictions, labelled, now=look.now, notes=look.notes, past=look.past, outside=outside)
    look.rows.append(row | {"revision": last.revision + 1 if last else 1})


def _champion(connection: Connection, model: str) -> int | None:
    return connection.execute(select(desired_traffic.c.champion).where(desired_traffic.c.model == model)).scalar()


def _labels(look: _Look, span: tuple[datetime, datetime]) -> Labels:
    """Mature labels; a labels database that fails leaves drift measured and performance inconclusive."""
    try:
        return fetch_labels(look.spec, look.rt.settings, look.access, *span, look.now)
    except LifecycleError as problem:
        note = Verdict(check="labels", outcome=Outcome.INCONCLUSIVE, reason=str(problem))
        look.notes += [] if note in look.notes else [note]
        return Labels({}, np.empty(0))


def usable_profiles(rt: Runtime, model: str, profiles: Profiles | None = None) -> Callable[[int], Profile | None]:
    """A version's profile, read once (default: from the registry); None when it has no usable one."""
    read, known = profiles or (lambda version: _registered_profile(rt, model, version)), dict[int, Profile | None]()

    def usable(version: int) -> Profile | None:
        if version not in known:
            known[version] = _profile_or_none(read, model, version)
        return known[version]

    return usable


def _registered_profile(rt: Runtime, model: str, version: int) -> Profile:
    from include.lifecycle.registry.artefacts import materialise_profile

    return read_profile(materialise_profile(rt, model, version))


def _profile_or_none(read: Profiles, model: str, version: int) -> Profile | None:
    """The profile, or None when this version never had a good one; an MLflow that is down is no reason to judge without it."""
    try:
        found = read(version)
        if found.model != model:
            raise DataInvalidError(f"its reference profile is of model {found.model}")
        return found
    except SourceUnavailableError:
        raise
    except LifecycleError as problem:
        log.warning("version %d is judged without a reference profile: %s", version, problem)
        return None


def _judged(row: RowMapping) -> tuple[Window, list[Verdict]]:
    return Window(row["window_start"], row["window_end"]), [Verdict.model_validate(plain) for plain in row["verdicts"]]
