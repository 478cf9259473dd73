"""From verdicts of the last windows to signals: rows that `decide` claims. Monitoring only raises and resolves them.

A cause stands when its newest conclusive window failed; it is over when that window passed and fewer than `confirm.windows` of
the last `confirm.of` failed, so that a flickering cause stays one signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update
from sqlalchemy.dialects.postgresql import insert

from include.lifecycle.alerting.signal_alerts import tell_signals
from include.lifecycle.ledger import Entry
from include.lifecycle.monitoring.kinds import BUSINESS, ESTIMATED_DECAY, LABELS, RESOURCES, column_of, kind_of
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ConfirmSection, ModelSpec
from include.lifecycle.tables import signals, training_requests
from include.lifecycle.verdicts import Outcome, Verdict

_KEPT = frozenset(["measure", "threshold", "null_threshold", "lower", "reason", "fault", "reference", "above_act_effect", "rows"])
_KEPT |= {"rule", "client", "classification", "groups", "attribute"}
_KEPT |= {"aspect", "new", "upper", "windows", "days", "training_distance", "ndcg", "features", "auc"}
_KEPT |= {"mean_prediction", "observed_rate", "observed_mean", "class", "value", "reference_value"}
_KEPT |= {"gap", "usual", "rung", "band_lower", "band_upper", "calibration_error", "reference_skill", "coverage"}
_ESTIMATED_NO_MORE = "resolved", "labels have measured its windows, or they are out of sight"  # an estimate never passes


@dataclass(frozen=True)
class Standing:
    """How one cause stands over the last conclusive windows; `newest_failure` is None when none of them failed."""

    cause: str
    failing: bool
    windows_failed: int
    windows_seen: int
    first_failed: datetime | None
    last_failed: datetime | None
    newest_failure: Verdict | None

    @property
    def kind(self) -> str:
        """Kind of the signal: the cause's word before the colon."""
        return self.cause.partition(":")[0]

    def evidence(self) -> dict[str, Any]:
        """What the signal's row says beside its own columns; times in ISO."""
        failure = self.newest_failure
        if failure is None or self.first_failed is None or self.last_failed is None:
            return {}
        kept = {name: value for name, value in ({"reason": failure.reason} | failure.evidence).items() if name in _KEPT}
        return kept | {
            "windows_seen": self.windows_seen,
            "first_failed": self.first_failed.isoformat(),
            "last_failed": self.last_failed.isoformat(),
            "spanning_seconds": (self.last_failed - self.first_failed).total_seconds(),
        }


def standings(history: Sequence[tuple[Window, Sequence[Verdict]]], confirm: ConfirmSection) -> list[Standing]:
    """Fold windows (any order) into one Standing per cause that was conclusive, over its last `confirm.of` conclusive ones."""
    found: dict[str, list[tuple[Window, Verdict]]] = {}
    for window, verdicts in sorted(history, key=lambda pair: pair[0], reverse=True):
        for verdict in verdicts:
            if verdict.outcome is not Outcome.INCONCLUSIVE and kind_of(verdict.check):
                found.setdefault(verdict.check, []).append((window, verdict))
    return [_standing(cause, seen[: confirm.of]) for cause, seen in sorted(found.items())]


def _standing(cause: str, seen: Sequence[tuple[Window, Verdict]]) -> Standing:
    failed = [(window, verdict) for window, verdict in seen if verdict.failed]
    failed = [pair for pair in failed if _direction(pair[1]) == _direction(failed[0][1])]
    return Standing(
        cause=cause,
        failing=seen[0][1].failed,
        windows_failed=len(failed),
        windows_seen=len(seen),
        first_failed=failed[-1][0].start if failed else None,
        last_failed=failed[0][0].end if failed else None,
        newest_failure=failed[0][1] if failed else None,
    )


def _direction(verdict: Verdict) -> bool:
    """Too high or too low: a gap that changes its sign confirms nothing."""
    return float(verdict.evidence.get("gap") or 0.0) >= 0


def refresh_signals(
    connection: Connection, spec: ModelSpec, rt: Runtime, run: RunContext, *, version: int, found: Sequence[Standing]
) -> list[int]:
    """Open, update and resolve the model's signals by what `version` (the champion) shows; return the ids that stand open.

    To be called under lock_model, in the transaction that stored the windows. A cause in training is not opened again.
    """
    by_cause = {standing.cause: standing for standing in found}
    rows = {row["cause"]: row for row in _open(connection, spec.name)}
    for cause, row in rows.items():
        if ending := _ending(spec, row, version, by_cause.get(cause)):
            _close(connection, rt, run, row, *ending)
    busy = _in_training(connection, spec.name, version)
    for standing in found:
        if standing.failing and standing.cause not in busy and _watched(spec, standing.cause):
            _raise(connection, rt, run, spec, version, standing)
    tell_signals(connection, rt, spec, actor=run.actor)
    return [int(row["id"]) for row in _open(connection, spec.name)]


def _open(connection: Connection, model: str) -> Sequence[RowMapping]:
    query = select(signals).where(signals.c.model == model, signals.c.state == "open").order_by(signals.c.id).with_for_update()
    return connection.execute(query).mappings().all()


def _in_training(connection: Connection, model: str, version: int) -> set[str]:
    """Causes of this version that were accepted and whose training has not ended."""
    joined = signals.join(training_requests, signals.c.training_request_id == training_requests.c.id)
    query = select(signals.c.cause).select_from(joined)
    query = query.where(signals.c.model == model, signals.c.version == version, signals.c.state == "accepted")
    return set(connection.execute(query.where(training_requests.c.state.in_(("awaiting", "open", "claimed")))).scalars())


def _ending(spec: ModelSpec, row: RowMapping, version: int, standing: Standing | None) -> tuple[str, str] | None:
    """New state of an open signal and why, or None when it stays."""
    kind, column = kind_of(row["cause"]), column_of(row["cause"])
    if kind is None:
        return None
    if not _watched(spec, row["cause"]):
        return "expired", f"{column} is no longer watched"
    if kind.of_a_version and row["version"] != version:
        return "resolved", f"version {version} took over from version {row['version']}"
    if standing is None:
        return _ESTIMATED_NO_MORE if kind.name == ESTIMATED_DECAY else None
    healthy = not standing.failing and standing.windows_failed < spec.retraining.confirm.windows
    return ("resolved", "the newest window is healthy again") if healthy else None


def _watched(spec: ModelSpec, cause: str) -> bool:
    """Whether what a cause names (a column, a number, a limit) is still looked at; rows as a whole (`@...`) always are."""
    kind, column, rules = kind_of(cause), column_of(cause), spec.monitoring
    if kind is not None and kind.name in (BUSINESS, RESOURCES, LABELS):
        limits = {
            "clock_skew": rules.labels.max_skewed,
            "conflicts": rules.labels.max_conflicting,
            "unknown": rules.labels.max_unknown,
        }
        asked = {BUSINESS: column in {number.name for number in rules.business}, LABELS: limits.get(column, 0) < 1}
        return asked.get(kind.name, getattr(rules.resources, column, True) is not None)
    if column.startswith("floor_"):
        return column.removeprefix("floor_") in rules.performance.floors
    return kind is None or not kind.of_a_column or column in spec.watched or column.startswith("@")


def _close(connection: Connection, rt: Runtime, run: RunContext, row: RowMapping, state: str, reason: str) -> None:
    connection.execute(update(signals).where(signals.c.id == row["id"]).values(state=state))
    _note(
        connection,
        rt,
        run,
        row["model"],
        f"{state} signal {row['cause']}",
        reason,
        {"signal": row["id"], "effect": row["effect"]},
    )


def _raise(connection: Connection, rt: Runtime, run: RunContext, spec: ModelSpec, version: int, standing: Standing) -> None:
    failure = standing.newest_failure
    if failure is None:
        return
    now = rt.clock.now()
    fresh = {
        "effect": float(failure.evidence.get("effect") or 0.0),
        "severity": str(failure.evidence.get("severity", "warn")),
        "version": version,
        "last_seen": standing.last_failed or now,
        "windows_failed": standing.windows_failed,
        "evidence": standing.evidence(),
    }
    identity = {"model": spec.name, "kind": standing.kind, "cause": standing.cause}
    open_row = (signals.c.state == "open") & (signals.c.model == spec.name) & (signals.c.cause == standing.cause)
    if connection.execute(update(signals).where(open_row, signals.c.kind == standing.kind).values(fresh)).rowcount:
        return
    values = identity | fresh | {"first_seen": standing.first_failed or now}
    signal_id = int(connection.execute(insert(signals).values(values).returning(signals.c.id)).scalar_one())
    evidence = {"signal": signal_id, "effect": fresh["effect"], "severity": fresh["severity"]} | standing.evidence()
    _note(connection, rt, run, spec.name, f"opened signal {standing.cause}", failure.reason, evidence, version)


def _note(
    connection: Connection,
    rt: Runtime,
    run: RunContext,
    model: str,
    act: str,
    reason: str,
    evidence: dict[str, Any],
    version: int | None = None,
) -> None:
    entry = Entry(
        model=model,
        kind="signal",
        act=act,
        reason=reason,
        actor=run.actor,
        run_id=run.run_id,
        version_before=version,
        evidence=evidence,
    )
    rt.ledger.write(entry, connection)
