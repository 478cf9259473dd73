"""Who must approve a rollout: the stricter of the model's risk and the size of the change, and the seats that it makes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from pydantic import Field

from include.lifecycle.results import StageResult
from include.lifecycle.rollout.approving.change_size import Change
from include.lifecycle.sections.approval import Level
from include.lifecycle.spec import ModelSpec

LEVELS: tuple[Level, ...] = get_args(Level)
RISKS = ("low", "medium", "high")
_SAID = {"none": "nobody", "team": "one person of the team", "lead": "one lead"}


class Seat(StageResult):
    """One answer that is asked for: from one of `users`, or from anyone when there are none."""

    number: int
    users: list[str] = Field(default_factory=list)

    @property
    def label(self) -> str:
        """Who may answer, for people."""
        return ", ".join(self.users) or "anyone"


class ApprovalNeed(StageResult):
    """`quorum` of the `seats` must say yes. `problem` is why that cannot be, or empty."""

    level: Level
    quorum: int
    seats: list[Seat]
    why: str
    problem: str = ""

    @property
    def told(self) -> str:
        """Who must say yes, and why, in one sentence."""
        if self.level == "none":
            return f"nobody need approve ({self.why})"
        named = [name for seat in self.seats for name in seat.users]
        who = _SAID.get(self.level, f"{self.quorum} of {len(self.seats)} members of the committee")
        return f"{who} must approve ({self.why}): {', '.join(named) or 'anyone who may answer in Airflow'}"


def approval_need(spec: ModelSpec, requested_by: Sequence[str], change: Change | None) -> ApprovalNeed:
    """Level, quorum and seats for one rollout. Whoever asked for the training gets no seat; `change` None: the risk decides."""
    rules = spec.approval
    by_risk: Level = getattr(rules.by_risk, spec.risk)
    level, why = by_risk, f"risk {spec.risk}"
    if change is not None and RISKS.index(spec.risk) >= RISKS.index(rules.change_counts_from):
        by_change: Level = getattr(rules.by_change, change.size)
        level, why = max(by_risk, by_change, key=LEVELS.index), f"{why}, change {change.told}"
    if level == "none":
        return ApprovalNeed(level=level, quorum=0, seats=[], why=why)
    members: list[str] = getattr(rules, level)
    free = [name for name in members if name not in requested_by]
    quorum = rules.quorum if level == "committee" else 1
    seats = _seats(level, free, quorum) if free or not members else []
    problem = "" if len(seats) >= quorum else _impossible(level, members, quorum, len(free))
    return ApprovalNeed(level=level, quorum=quorum, seats=seats, why=why, problem=problem)


def _seats(level: Level, free: list[str], quorum: int) -> list[Seat]:
    """One seat for a single person, whoever it is; each member of a committee has a seat, an unnamed committee its quorum."""
    if level != "committee":
        return [Seat(number=1, users=free)]
    if not free:
        return [Seat(number=number) for number in range(1, quorum + 1)]
    return [Seat(number=number, users=[name]) for number, name in enumerate(free, 1)]


def _impossible(level: Level, members: list[str], quorum: int, free: int) -> str:
    return (
        f"{quorum} of approval.{level} ({', '.join(members)}) must approve, but only {free} of them did not ask for the training "
        "themselves; who asks may not approve"
    )
