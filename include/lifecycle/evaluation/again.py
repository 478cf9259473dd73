"""A candidate judged again because the champion changed since its evaluation: by its own artefact, on its own hold-out.

Planning a rollout asks (rollout/recheck.py). What had nothing to do with the champion stands as it was evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.evaluation.calibration import ACTION_RATE
from include.lifecycle.evaluation.champion import Demand, cannot_be_scored, demands, face, judge_against, load_champion
from include.lifecycle.evaluation.decision import Decision, decide
from include.lifecycle.evaluation.gates import ANCHOR, CHAMPION, no_champion
from include.lifecycle.evaluation.identity import engine_scorer, scored_rows
from include.lifecycle.evaluation.report import earlier_verdicts
from include.lifecycle.registry.artefacts import model_version
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

HOLDOUT_TASK, HOLDOUT_FILE, EVALUATION_TASK = "prepare_data", "holdout.parquet", "evaluate_model"
_OF_RIVALS = (CHAMPION, ANCHOR, ACTION_RATE)


def judge_again(spec: ModelSpec, rt: Runtime, version: int, run_id: str, champion: int | None) -> tuple[Decision, list[Verdict]]:
    """The decision on a registered version against today's champion, and the verdicts that it rests on.

    `run_id`: the training that made it. Where its hold-out is gone the comparison is inconclusive.

    Raises:
        ArtefactDigestError: files of the version or the champion are not what was registered.
        SourceUnavailableError: MLflow did not answer.
    """
    tags = model_version(rt, spec.name, version).tags
    kept = earlier_verdicts(rt.storage.stage(spec.name, run_id, EVALUATION_TASK), tags.get("model_digest", ""))
    standing = [verdict for verdict in kept if verdict.check.partition(":")[0] not in _OF_RIVALS]
    fresh = [no_champion()] if champion is None else _against(spec, rt, version, run_id, champion)
    verdicts = [*standing, *fresh]
    return decide(spec, verdicts, champion), verdicts


def _against(spec: ModelSpec, rt: Runtime, version: int, run_id: str, champion: int) -> list[Verdict]:
    challenger, rival = load_champion(rt, spec.name, version), load_champion(rt, spec.name, champion)
    wanted = demands(spec, _order_of(spec, rt, version), challenger.algorithm, rival)
    holdout = rt.storage.stage(spec.name, run_id, HOLDOUT_TASK) / HOLDOUT_FILE
    if not holdout.is_file():
        return [_unknown(f"the hold-out of run {run_id} is gone, so version {champion} cannot be faced", wanted)]
    rows = _read(holdout)
    if lacking := cannot_be_scored(spec, rival, rows):
        return [_unknown(lacking, wanted)]
    own = scored_rows(spec, engine_scorer(challenger.engine, challenger.serving), rows)
    return judge_against(face(spec, rival, rows, own, challenger.fit_until), wanted)


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


def _unknown(reason: str, wanted: Sequence[Demand]) -> Verdict:
    demand = "better" if any(one.margin is None for one in wanted) else "not worse"
    return Verdict(check=CHAMPION, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"demand": demand})


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    return pd.read_parquet(path)
