"""Durations and stages in words: for plans, approvals, the command line and the ledger. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.lifecycle.rollout.states import Stage


def rough(value: timedelta) -> str:
    """A duration for people: `45 s`, `12 min`, `7.0 h`, `3.5 days`."""
    seconds = value.total_seconds()
    for size, unit in ((86_400 * 2, "days"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            scaled = seconds / (86_400 if unit == "days" else size)
            return f"{scaled:.0f} {unit}" if scaled >= 10 or scaled == int(scaled) else f"{scaled:.1f} {unit}"
    return f"{seconds:.0f} s"


def stage_told(stage: Stage) -> str:
    """What a stage does, in words."""
    if stage.kind == "mirror":
        return f"{stage.mirror} % of the requests copied to the challenger"
    if stage.kind == "ab_test":
        share = stage.percent or stage.baseline
        return f"A/B test with {share} % of the traffic"
    beside = f", {stage.baseline} % to a fresh champion" if stage.baseline else ""
    return f"{stage.percent} % of the traffic to the challenger{beside}"
