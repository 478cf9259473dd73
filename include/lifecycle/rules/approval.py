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
        path = view.blamed(("approval", "quorum"), ("approval", "committee"))
        if path[-1] == "quorum":
            yield path, f"got {quorum}, with {len(members)} in approval.committee; allowed: at most as many"
        else:
            yield path, f"got {len(members)}; allowed: at least as many as approval.quorum, {quorum}"


def _committee_is_named(view: View) -> Found:
    risk, members = view.get("risk"), view.get("approval.committee")
    asked = view.get(f"approval.by_risk.{risk}") if isinstance(risk, str) else None
    if asked == "committee" and members == []:
        path = view.blamed(("approval", "committee"), ("approval", "by_risk", str(risk)), ("risk",))
        told = "is empty;" if path[-1] == "committee" else "approval.committee is empty, and"
        yield path, f"{told} risk {risk} asks a committee, so name at least {view.get('approval.quorum')} Airflow users"


RULES: tuple[Rule, ...] = (_nobody_twice, _quorum_can_be_met, _committee_is_named)
