"""Several training requests become one order: the strongest cause leads, all are listed. Read by requests.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from include.lifecycle.results import TrainingOrder
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.conf import TrainingConf

_STRENGTH = {"signal": 1, "external": 2, "manual": 3, "schedule": 4}


def fold(spec: ModelSpec, rows: Sequence[RowMapping], wanted: TrainingConf, now: datetime, champion: int | None) -> TrainingOrder:
    """The order of these requests; evaluation asks more of one that a decay leads.

    What this run's own starter said of method, trials and data counts, else what the newest waiting request said.
    """
    leading = min(rows, key=_rank)
    causes = [row["cause"] for row in rows]
    by_people = [cause for cause in causes if cause.get("cause") == "manual"]  # what is learnt from is nobody else's to say
    overrides = {"trials": wanted.trials or _newest(causes, "trials"), "data": wanted.data or _newest(by_people, "data")}
    return TrainingOrder(
        model=spec.name,
        request_ids=[row["id"] for row in rows],
        source=leading["source"],
        reason="; ".join(dict.fromkeys(row["reason"] for row in sorted(rows, key=_rank))),
        cause={**leading["cause"], "causes": causes},
        method=wanted.method or _newest(causes, "method") or spec.training.method,
        as_of=now,
        window_start=now - spec.data.window,
        window_end=now - spec.labels.mature_after,
        champion=champion,
        overrides={name: value for name, value in overrides.items() if value},
    )


def told(cause: dict[str, Any] | str) -> dict[str, Any]:
    """A cause with `kind` and `measure` taken out of its stable text, `kind:measure`, unless they are named."""
    given = {"cause": cause} if isinstance(cause, str) else cause
    kind, _, measure = str(given.get("cause", "")).partition(":")
    return ({"kind": kind, "measure": measure} if measure else {}) | given


def cause_name(cause: dict[str, Any]) -> str:
    """The stable text of a request's cause: requests with the same one, by the same asker, are one."""
    return str(cause.get("cause") or sorted(cause.items()))


def _newest(causes: Sequence[dict[str, Any]], key: str) -> Any:
    return next((cause[key] for cause in reversed(causes) if cause.get(key)), None)


def _rank(row: RowMapping) -> tuple[int, int]:
    """Decay before other signals, they before people and schedules; then the older one."""
    decay = cause_name(row["cause"]).startswith("decay")
    return (0 if decay else _STRENGTH.get(row["source"], 2), int(row["id"]))
