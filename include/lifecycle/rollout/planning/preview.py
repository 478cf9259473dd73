"""Plan mode: what a rollout started now would do, who would be asked, what stands in its way. Nothing is written."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.database import transaction
from include.lifecycle.results import StageResult
from include.lifecycle.rollout.approving.change_size import TagsOf, change_of
from include.lifecycle.rollout.approving.need import ApprovalNeed, approval_need
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.planning.by_hand import ByHand
from include.lifecycle.rollout.planning.plan_words import plan_sentences
from include.lifecycle.rollout.planning.planning import newest_open, requesters_of, traffic_of
from include.lifecycle.rollout.planning.plans import make_plan
from include.lifecycle.rollout.planning.recheck import is_stale
from include.lifecycle.rollout.ways_back.freezing import frozen_reason
from include.lifecycle.rollout.ways_back.rollback_notes import under_way
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import candidates


class RolloutPreview(StageResult):
    """What would happen. `stops` says why nothing would start (empty: it would); `version` is None without a candidate."""

    model: str
    champion: int | None
    version: int | None = None
    strategy: str | None = None
    steps: list[str]
    approval: ApprovalNeed | None = None
    notes: list[str]
    stops: list[str]
    plan: dict[str, Any]

    def told(self) -> list[str]:
        """Everything in sentences, one a line."""
        asked = f"Approval: {self.approval.told}." if self.approval else ""
        start = f"Would start for version {self.version} of {self.model}."
        return [
            *([f"Would not start: {reason}." for reason in self.stops] or [start]),
            *self.steps,
            *([asked] if asked else []),
            *(f"Note: {note}." for note in self.notes),
        ]


def preview_rollout(
    spec: ModelSpec,
    rt: Runtime,
    *,
    by_hand: ByHand | None = None,
    hands: Hands | None = None,
    tags_of: TagsOf | None = None,
) -> RolloutPreview:
    """Plan as plan_rollout would, and stop there.

    Raises SourceUnavailableError when MLflow or the database does not answer.
    """
    champion = (hands or usual_hands(rt)).champion_of(rt, spec.name)
    with transaction(rt.engine) as connection:
        stops, candidate = _stops(connection, spec.name), newest_open(connection, spec.name)
        asked_by = requesters_of(connection, spec.name, candidate["run_id"]) if candidate else []
    if candidate is None:
        return RolloutPreview(model=spec.name, champion=champion, steps=[], notes=[], stops=stops, plan={})
    version = int(candidate["version"])
    plan = make_plan(spec, version, champion, traffic_of(spec, rt, champion), requesters=asked_by, by_hand=by_hand)
    need = approval_need(spec, asked_by, change_of(rt, spec.name, version, champion, tags_of=tags_of))
    problems = [plan.estimate.problem if plan.estimate else "", need.problem]
    return RolloutPreview(
        model=spec.name,
        champion=champion,
        version=version,
        strategy=plan.strategy,
        steps=plan_sentences(plan),
        approval=need,
        notes=_notes(candidate, champion),
        stops=[*stops, *(problem for problem in problems if problem)],
        plan=plan.model_dump(mode="json"),
    )


def _stops(connection: Connection, model: str) -> list[str]:
    """Why no rollout would be planned now."""
    found = [frozen_reason(connection, model), under_way(connection, model)]
    if (other := open_rollout(connection, model)) is not None:
        found.append(f"rollout {other['id']} of version {other['version']} is open ({other['state']}): {other['reason']}")
    if newest_open(connection, model) is None:
        held = select(candidates.c.version).where(candidates.c.model == model, candidates.c.state == "held")
        versions = sorted(connection.execute(held).scalars())
        found.append(f"no candidate waits{f'; held for a person: version {versions[-1]} (cli release)' if versions else ''}")
    return [reason for reason in found if reason]


def _notes(candidate: RowMapping, champion: int | None) -> list[str]:
    if not is_stale(candidate, champion):
        return []
    before = candidate["evidence"]["champion"]
    return [f"it was judged against champion {before}; it is judged against {champion} first, and may fail"]
