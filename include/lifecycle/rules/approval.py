"""Rules on who approves: a committee can be met, and nobody has two seats."""

from __future__ import annotations

from include.lifecycle.rules.view import Found, Rule, View

GROUPS = ("team", "lead", "committee")


def _nobody_twice(view: View) -> Found:
    for group in GROUPS:
        seen: set[str] = set()
        for path, name in view.texts(f"approval.{group}"):
            if name in seen:
                yield path, f"{name!r} stands in this list twice; each person counts once"
            seen.add(name)


def _quorum_can_be_met(view: View) -> Found:
    members, quorum = view.get("approval.committee"), view.get("approval.quorum")
    if isinstance(members, list) and isinstance(quorum, int) and members and len(members) < quorum:
        yield ("approval", "quorum"), f"got {quorum}, with {len(members)} in approval.committee; allowed: at most as many"


def _committee_is_named(view: View) -> Found:
    risk, members = view.get("risk"), view.get("approval.committee")
    asked = view.get(f"approval.by_risk.{risk}") if isinstance(risk, str) else None
    if asked == "committee" and members == []:
        yield (
            ("approval", "committee"),
            f"is empty; risk {risk} asks a committee, so name at least {view.get('approval.quorum')} Airflow users",
        )


RULES: tuple[Rule, ...] = (_nobody_twice, _quorum_can_be_met, _committee_is_named)
