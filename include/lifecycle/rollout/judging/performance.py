"""How much skill a challenger loses against the champion, from the windows that monitoring measured on matured labels.

The rollout reads rows, not labels: monitoring holds the way to the labels. Both versions are compared over the same windows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.monitoring.skill import FEWEST_BLOCKS, is_error, skill_beyond, skill_values
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.states import PerformanceEvidence, Plan
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import windows

SMALLEST_SKILL = 0.02  # a champion with less is no basis for "skill lost"
Floats = NDArray[np.float64]


def performance_of(rt: Runtime, rollout_id: int, plan: Plan) -> PerformanceEvidence | None:
    """Bounds of the skill lost since the rollout was planned, or None while fewer than five common windows have labels."""
    if plan.champion is None:
        return None
    with transaction(rt.engine) as connection:
        since = rollout_row(connection, rollout_id)["created_at"]
        table = windows.c
        mine = (table.model == plan.model) & table.version.in_([plan.version, plan.champion]) & (table.window_start >= since)
        columns = (table.version, table.window_start, table.window_end, table.mature_rows, table.measurements)
        query = select(*columns).where(mine).order_by(table.revision)
        rows = connection.execute(query).mappings().all()
    newest = {(row["version"], row["window_start"], row["window_end"]): row for row in rows if _measured(plan, row)}
    spans = sorted({(start, end) for _, start, end in newest})
    pairs = [(newest.get((plan.version, *span)), newest.get((plan.champion, *span))) for span in spans]
    both = [(one, other) for one, other in pairs if one is not None and other is not None]
    if len(both) < FEWEST_BLOCKS:
        return None
    weights = np.array([min(one["mature_rows"], other["mature_rows"]) for one, other in both], dtype=np.float64)
    challenger, champion = (np.array([_skill(plan, pair[arm]) for pair in both]) for arm in (0, 1))
    return skill_lost(challenger, champion, weights, plan.alpha, error=is_error(plan.metric))


def skill_lost(
    challenger: Floats, champion: Floats, weights: Floats, alpha: float, *, error: bool = False
) -> PerformanceEvidence | None:
    """Bounds of 1 - S / S0, with S and S0 the weighted mean skill of challenger and champion over the same K windows; all (K,).
    With `error` they are errors of a regression and the loss is their relative increase S / S0 - 1.

    The error is the delete-one-window jackknife's (Kuensch 1989), the bounds Student's t with K - 1 degrees of freedom at level
    alpha / (K (K + 1)): one look per K, and these levels sum to at most alpha over all looks. None when S0 is next to nothing.
    """
    from scipy.special import stdtrit

    count = weights.size
    kept = np.vstack([np.ones((1, count)), np.ones((count, count)) - np.eye(count)]) * weights
    ours, theirs = kept @ challenger, kept @ champion
    if theirs[0] / weights.sum() < (0 if error else SMALLEST_SKILL) or np.any(theirs <= 0):
        return None
    lost = ours / theirs - 1 if error else 1 - ours / theirs
    deviation = float(np.sqrt((count - 1) / count * np.sum((lost[1:] - lost[1:].mean()) ** 2)))
    margin = float(stdtrit(count - 1, 1 - alpha / (count * (count + 1)))) * deviation
    skills = {"skill": float(ours[0] / weights.sum()), "champion_skill": float(theirs[0] / weights.sum())}
    bounds = {"drop_lower": float(lost[0]) - margin, "drop_upper": float(lost[0]) + margin}
    return PerformanceEvidence.model_validate({"rows": int(weights.sum()), "detail": skills | {"windows": count}} | bounds)


def _measured(plan: Plan, row: Any) -> bool:
    """Whether the window tells a skill: one with labels of one class only tells none of some metrics."""
    told = plan.metric in row["measurements"].get("performance", {}) and row["mature_rows"] > 0
    return told and math.isfinite(_skill(plan, row))


def _skill(plan: Plan, row: Any) -> float:
    found = row["measurements"]["performance"]
    value = np.array([found[plan.metric]])
    if "no_skill" in found:
        return float(skill_beyond(plan.metric, value, np.array([found["no_skill"]]))[0])
    # a window from before `no_skill` was stored is a binary model's
    return float(skill_values(plan.metric, value, np.array([found.get("observed_rate", np.nan)]))[0])
