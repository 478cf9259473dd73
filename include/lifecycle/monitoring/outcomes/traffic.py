"""Check `traffic:rows`: whether requests come as in the same window of recent weeks. Pure; counts rows of all versions.

Fails below `monitoring.traffic.minimum_rows`, or below `minimum_share` of the fewest rows that recent weeks had: the smallest of
several weeks, not their mean, so that a week that is quiet by nature raises nothing.
"""

from __future__ import annotations

from typing import Any

from include.lifecycle.monitoring.kinds import TRAFFIC
from include.lifecycle.monitoring.outcomes.recent import Recent
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

CHECK = f"{TRAFFIC}:rows"
FEWEST_WEEKS = 2


def check_traffic(spec: ModelSpec, window: Window, rows: int, recent: Recent) -> list[Verdict]:
    """One verdict on the window's rows; fewer than two known weeks are inconclusive where no minimum is set."""
    wanted = spec.monitoring.traffic
    weeks = recent.same_window(window, wanted.weeks) if wanted.minimum_share else []
    least = wanted.minimum_share * min(weeks) if len(weeks) >= FEWEST_WEEKS else 0.0
    threshold = max(float(wanted.minimum_rows), least)
    evidence: dict[str, Any] = {"value": rows, "rows": rows, "threshold": threshold, "weeks": len(weeks), "severity": "warn"}
    evidence |= {"effect": 1 - rows / threshold if rows < threshold else 0.0, "measure": "rows"}
    if weeks:
        evidence["reference_value"] = min(weeks)
    if threshold == 0:
        why = f"{rows} rows; {len(weeks)} of the last {wanted.weeks} weeks are known, too few to compare with"
        return [Verdict(check=CHECK, outcome=Outcome.INCONCLUSIVE, reason=why, evidence=evidence)]
    outcome = Outcome.FAIL if rows < threshold else Outcome.PASS
    compared = f"; the fewest in this window of the last {len(weeks)} weeks were {min(weeks)}" if weeks else ""
    reason = f"{rows or 'no'} rows, at least {threshold:.0f} are expected{compared}"
    return [Verdict(check=CHECK, outcome=outcome, reason=reason, evidence=evidence)]


def expects_traffic(spec: ModelSpec, window: Window, recent: Recent) -> bool:
    """Whether a window without a single row is worth a verdict: there is something to hold it against."""
    return check_traffic(spec, window, 0, recent)[0].failed
