"""Who must approve a rollout, in words: read by `cli explain` through wording.py."""

from __future__ import annotations

from include.lifecycle.rollout.approving.need import LEVELS, RISKS
from include.lifecycle.sections.approval import Level
from include.lifecycle.spec import ModelSpec
from include.lifecycle.units import format_duration


def person_words(spec: ModelSpec) -> str:
    """Whom each rollout waits for, by risk and by what changed, and for how long."""
    rules, held = spec.approval, " A held rollout waits for a person." if spec.rollout.on_inconclusive == "hold" else ""
    level: Level = getattr(rules.by_risk, spec.risk)
    stricter = _stricter_changes(spec, level)
    if level == "none" and not stricter:
        return f"Nobody is asked before a rollout (risk {spec.risk}).{held}"
    asked = (
        f"waits in Required Actions for {_who(spec, level)}, but not for who asked for the training" if level != "none" else ""
    )
    first = f"Each rollout {asked or 'goes out by itself'} (risk {spec.risk})"
    more = "".join(f"; a {size} change asks {_who(spec, other)}" for size, other in stricter)
    return f"{first}{more}. No answer within {format_duration(rules.expires)} is a refusal.{held}"


def _stricter_changes(spec: ModelSpec, level: Level) -> list[tuple[str, Level]]:
    """Sizes of change that ask for more than the risk does, with whom they ask."""
    rules = spec.approval
    if RISKS.index(spec.risk) < RISKS.index(rules.change_counts_from):
        return []
    sizes: dict[str, Level] = {size: getattr(rules.by_change, size) for size in ("small", "medium", "large")}
    return [(size, asked) for size, asked in sizes.items() if LEVELS.index(asked) > LEVELS.index(level)]


def _who(spec: ModelSpec, level: Level) -> str:
    members: list[str] = getattr(spec.approval, level)
    if level == "committee":
        return f"{spec.approval.quorum} of {', '.join(members) or 'those who may answer'}"
    return f"one of {', '.join(members)}" if members else "anyone who may answer"
