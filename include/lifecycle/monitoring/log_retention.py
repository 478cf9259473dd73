"""Retention of the prediction log: which compacted files go, and why not later or earlier; compaction.py carries it out.

Whole files go, by their newest row. Nothing goes that monitoring still looks back on, whose labels are not mature, that an open
signal or an open rollout may still need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import func, select

from include.lifecycle.database import transaction
from include.lifecycle.ledger import Entry, Phase
from include.lifecycle.monitoring.log_folder import LogFolder
from include.lifecycle.monitoring.windows import windows_back
from include.lifecycle.rollout.states import OPEN_STATES
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import rollouts, signals
from include.lifecycle.units import format_duration
from include.serving.log_manifest import CompactedFile, Manifest, Removal


@dataclass(frozen=True)
class Expiry:
    """Files whose newest event is older than `before` go; `reason` says what set that bound."""

    before: datetime
    reason: str
    files: list[CompactedFile]

    @property
    def rows(self) -> int:
        """Rows that go."""
        return sum(file.rows for file in self.files)


def plan_expiry(rt: Runtime, spec: ModelSpec, files: Sequence[CompactedFile], now: datetime) -> Expiry:
    """What goes at `now` (event time). The database is asked only when something would go.

    Raises SourceUnavailableError when it does not answer: nothing goes then.
    """
    bounds = _fixed_bounds(spec, now)
    found = _of(bounds, files)
    return found if not found.rows else _of([*bounds, *_open_bounds(rt, spec)], files)


def expire(rt: Runtime, spec: ModelSpec, log: LogFolder, now: datetime) -> int:
    """Take the files that go out of the manifest; their bytes go with `finish_removals` of the next run. Return their number."""
    manifest = log.manifest
    plan = plan_expiry(rt, spec, manifest.files, now)
    if not plan.files:
        return 0
    names = {file.name for file in plan.files}
    gone = [Removal(file.name, file.location, "expired", file.rows) for file in plan.files]
    log.write(Manifest([file for file in manifest.files if file.name not in names], [*manifest.removing, *gone]))
    return len(gone)


def finish_removals(rt: Runtime, spec: ModelSpec, log: LogFolder, pending: Sequence[Removal]) -> None:
    """Remove the bytes of what left the manifest in an earlier run. What retention took is noted in the ledger: intended, done.

    Killed anywhere, the next run does the rest under the same idempotency key.
    """
    if not pending:
        return
    expired = [one for one in pending if one.why == "expired" and one.rows]
    if expired:
        rt.ledger.write(_entry(spec, expired, "intended"))
    if any(one.location is not None for one in pending):
        log.publish(log.manifest)  # whoever begins from the copy must not look for what goes now
    log.delete(list(pending))
    if expired:
        rt.ledger.write(_entry(spec, expired, "done"))
    manifest = log.manifest
    log.publish(Manifest(manifest.files, [one for one in manifest.removing if one not in set(pending)]))


def _fixed_bounds(spec: ModelSpec, now: datetime) -> list[tuple[datetime, str]]:
    window, mature = spec.monitoring.window, spec.labels.mature_after
    seen = windows_back(spec) * window
    return [
        (now - spec.prediction_log.keep, f"prediction_log.keep is {_kept(spec)}"),
        (now - seen, f"monitoring looks back {format_duration(seen)}, until labels are mature ({format_duration(mature)})"),
    ]


def _open_bounds(rt: Runtime, spec: ModelSpec) -> list[tuple[datetime, str]]:
    """What open rows need: a signal the windows before it was first seen, a rollout everything since its plan."""
    window, confirm = spec.monitoring.window, spec.retraining.confirm
    before_signal = windows_back(spec) * window + max(confirm.of * window, confirm.spanning)
    signal = select(func.min(signals.c.first_seen)).where(signals.c.model == spec.name, signals.c.state == "open")
    rollout = select(func.min(rollouts.c.created_at)).where(rollouts.c.model == spec.name, rollouts.c.state.in_(OPEN_STATES))
    with transaction(rt.engine) as connection:
        seen, planned = connection.execute(signal).scalar(), connection.execute(rollout).scalar()
    found = (
        [] if seen is None else [(seen - before_signal, f"a signal is open since {seen:%Y-%m-%d %H:%M} and needs its windows")]
    )
    if planned is not None:
        found.append((planned - window, f"a rollout is open since {planned:%Y-%m-%d %H:%M}"))
    return found


def _of(bounds: Sequence[tuple[datetime, str]], files: Sequence[CompactedFile]) -> Expiry:
    """The earliest bound decides; files without a row go at once."""
    before, reason = min(bounds)
    old = [file for file in files if not file.event_time_max or datetime.fromisoformat(file.event_time_max) < before]
    return Expiry(before, reason, old)


def _kept(spec: ModelSpec) -> str:
    return format_duration(spec.prediction_log.keep)


def _entry(spec: ModelSpec, expired: Sequence[Removal], phase: Phase) -> Entry:
    names = sorted(one.name for one in expired)
    rows = sum(one.rows for one in expired)
    return Entry(
        model=spec.name,
        kind="retention",
        act="remove logged predictions",
        reason=f"{rows} rows in {len(names)} files are older than prediction_log.keep, {_kept(spec)}",
        actor="compact_predictions",
        phase=phase,
        idempotency_key=f"predictions:{spec.name}:{sha256(' '.join(names).encode()).hexdigest()[:24]}",
        evidence={"files": names[:100], "rows": rows, "places": sorted({one.location or "local" for one in expired})},
    )
