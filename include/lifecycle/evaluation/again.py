"""A candidate judged again because the champion changed since its evaluation: by its own artefact, on its own hold-out.

Planning a rollout asks (rollout/planning/recheck.py). What had nothing to do with the champion stands as it was evaluated; every
gate that compares with a rival is run anew, and so is what makes the version the next anchor.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import ArtefactDigestError, SpecInvalidError
from include.lifecycle.evaluation.anchor import PROVEN_TAG, anchor_version, load_anchor
from include.lifecycle.evaluation.business import BUSINESS
from include.lifecycle.evaluation.calibration import ACTION_RATE
from include.lifecycle.evaluation.case import Case, Rivals
from include.lifecycle.evaluation.champion import (
    Champion,
    Demand,
    Facing,
    cannot_be_scored,
    demands,
    face,
    load_champion,
    proven_better,
)
from include.lifecycle.evaluation.decision import Decision, decide
from include.lifecycle.evaluation.gates import ANCHOR, CHAMPION, no_champion
from include.lifecycle.evaluation.identity import Scored, engine_scorer, scored_rows
from include.lifecycle.evaluation.report import earlier_verdicts
from include.lifecycle.evaluation.slice_search import SLICE_SEARCH
from include.lifecycle.evaluation.slices import SLICE
from include.lifecycle.evaluation.table import GATES
from include.lifecycle.registry.artefacts import model_version
from include.lifecycle.registry.client import registry_calls
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

HOLDOUT_TASK, HOLDOUT_FILE, EVALUATION_TASK = "prepare_data", "holdout.parquet", "evaluate_model"
_OF_RIVALS = (CHAMPION, ANCHOR, ACTION_RATE, BUSINESS, SLICE, SLICE_SEARCH)


@dataclass(frozen=True)
class JudgedAgain:
    """The decision against today's champion, all verdicts that it rests on, and whether the gain over it lies above 0."""

    decision: Decision
    verdicts: list[Verdict]
    proven_better: bool


@dataclass(frozen=True)
class _Contest:
    """The version as it is served, today's champion and what is demanded against it; `anchor` is None when it is not asked."""

    challenger: Champion
    champion: Champion | None
    wanted: Sequence[Demand]
    anchor: int | None


def judge_again(spec: ModelSpec, rt: Runtime, version: int, run_id: str, champion: int | None) -> JudgedAgain:
    """Judge a registered version against today's champion; without one it is judged as a first version is.

    `run_id`: the training that made it. Where its hold-out is gone or no longer fits the YAML, comparisons are inconclusive.

    Raises:
        ArtefactDigestError: files of the version or the champion are not what was registered.
        SourceUnavailableError: MLflow did not answer.
    """
    tags = model_version(rt, spec.name, version).tags
    kept = earlier_verdicts(rt.storage.stage(spec.name, run_id, EVALUATION_TASK), tags.get("model_digest", ""))
    former = [verdict for verdict in kept if verdict.check.partition(":")[0] in _OF_RIVALS]
    contest = _contest(spec, rt, version, champion)
    fresh, proven = _compared(spec, rt, contest, rt.storage.stage(spec.name, run_id, HOLDOUT_TASK) / HOLDOUT_FILE, former)
    verdicts = [*(verdict for verdict in kept if verdict not in former), *fresh]
    return JudgedAgain(decide(spec, verdicts, champion), verdicts, proven)


def write_proven(rt: Runtime, model: str, version: int, proven: bool) -> None:
    """Write the tag that the next anchor is found by; it must say what the version showed against today's champion.

    Raises SourceUnavailableError when MLflow did not answer.
    """
    with registry_calls(rt, f"tagging version {version} of {model}") as client:
        client.set_model_version_tag(model, str(version), PROVEN_TAG, str(proven).lower())


def _contest(spec: ModelSpec, rt: Runtime, version: int, champion: int | None) -> _Contest:
    challenger = load_champion(rt, spec.name, version)
    if champion is None:
        return _Contest(challenger, None, (), None)
    rival = load_champion(rt, spec.name, champion)
    wanted = demands(spec, _order_of(spec, rt, version), challenger.algorithm, rival)
    anchor = anchor_version(rt, spec.name) if spec.evaluation.anchor != "off" else None
    return _Contest(challenger, rival, wanted, None if anchor in (champion, version) else anchor)


def _compared(
    spec: ModelSpec, rt: Runtime, contest: _Contest, holdout: Path, former: Sequence[Verdict]
) -> tuple[list[Verdict], bool]:
    """The verdicts of all gates that ask a rival, and whether the version is proven better."""
    first = contest.champion is None
    if not holdout.is_file():
        return _untold(spec, contest, former, f"the hold-out {holdout} is gone"), first
    rows = _read(holdout)
    if lacking := sorted(set(spec.features.read) - set(rows.columns)):
        return _untold(spec, contest, former, f"its hold-out has no {', '.join(lacking)}, which the YAML now names"), first
    if changed := cannot_be_scored(spec, contest.challenger, rows):
        return _untold(spec, contest, former, changed), first
    own = scored_rows(spec, engine_scorer(contest.challenger.engine, contest.challenger.serving), rows)
    rivals = _rivals(spec, rt, contest, rows, own)
    case = Case(spec, None, rows, own, [], rivals=rivals)
    try:
        verdicts = [one for gate in GATES if gate.name in _OF_RIVALS and gate.off(case) is None for one in gate.judge(case)]
    except SpecInvalidError as problem:
        return _untold(spec, contest, former, f"its hold-out does not fit the YAML any more: {problem}"), first
    return verdicts, first or (rivals.facing is not None and proven_better(spec, rivals.facing))


def _rivals(spec: ModelSpec, rt: Runtime, contest: _Contest, rows: pd.DataFrame, own: Scored) -> Rivals:
    """Champion and anchor, scored on the rows after both fits."""
    if contest.champion is None:
        return Rivals()
    after = contest.challenger.fit_until

    def _faced(rival: Champion, role: str) -> Facing | str:
        return cannot_be_scored(spec, rival, rows) or face(spec, rival, rows, own, after, role=role)

    faced = _faced(contest.champion, CHAMPION)
    if contest.anchor is None:
        return Rivals(contest.wanted, faced)
    anchor = load_anchor(rt, spec.name, contest.anchor)
    if isinstance(anchor, str):
        return Rivals(contest.wanted, faced, f"the anchor, version {contest.anchor}, cannot be loaded: {anchor}")
    return Rivals(contest.wanted, faced, _faced(anchor, ANCHOR))


def _untold(spec: ModelSpec, contest: _Contest, former: Sequence[Verdict], why: str) -> list[Verdict]:
    """Nothing can be compared: what was measured against the former champion is inconclusive, the rest stands."""
    verdicts = [no_champion()]
    if contest.champion is not None:
        demand = "better" if any(one.margin is None for one in contest.wanted) else "not worse"
        verdicts = [_unknown(CHAMPION, f"{why}, so version {contest.champion.version} cannot be faced", {"demand": demand})]
    if contest.anchor is not None:
        told = {"demand": "not worse", "act": spec.evaluation.anchor}
        verdicts.append(_unknown(ANCHOR, f"{why}, so the anchor, version {contest.anchor}, cannot be faced", told))
    for verdict in former:
        if verdict.check.partition(":")[0] in (CHAMPION, ANCHOR):
            continue
        reason = f"{why}, and this was measured against another champion"
        verdicts.append(_unknown(verdict.check, reason, verdict.evidence) if _asked_the_champion(verdict) else verdict)
    return verdicts


def _asked_the_champion(verdict: Verdict) -> bool:
    return verdict.check.endswith(f":{CHAMPION}") or "champion_version" in verdict.evidence


def _unknown(check: str, reason: str, evidence: dict[str, Any]) -> Verdict:
    return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)


def _order_of(spec: ModelSpec, rt: Runtime, version: int) -> TrainingOrder:
    """Why the version was trained, from its tags."""
    tags = model_version(rt, spec.name, version).tags
    try:
        return TrainingOrder(
            model=spec.name,
            request_ids=[],
            source=tags["source"],
            reason=tags["reason"],
            cause=json.loads(tags["cause"]),
            as_of=tags["registered_at"],
            window_start=tags["window_start"],
            window_end=tags["window_end"],
        )
    except (KeyError, ValueError) as problem:
        raise ArtefactDigestError(f"version {version} of {spec.name} does not tell why it was trained: {problem!r}") from problem


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)
