"""Stage evaluate_model: every gate of the table on the hold-out, one decision, a report of both, and a ledger entry.

Gates stand in table.py, what follows from them in decision.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.lifecycle.data.transformer import transformer_copy
from include.lifecycle.evaluation.anchor import anchor_version, load_anchor
from include.lifecycle.evaluation.artefact import built
from include.lifecycle.evaluation.case import Case, Rivals
from include.lifecycle.evaluation.champion import Champion, Facing, cannot_be_scored, demands, face, load_champion, proven_better
from include.lifecycle.evaluation.decision import decide
from include.lifecycle.evaluation.gates import ANCHOR
from include.lifecycle.evaluation.identity import Scored, fitted_scorer, scored_rows
from include.lifecycle.evaluation.latency import LATENCY
from include.lifecycle.evaluation.metrics import task_metrics
from include.lifecycle.evaluation.report import REPORT, earlier_verdicts, publish_page, write_report
from include.lifecycle.evaluation.table import run_gates
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.client import champion_version
from include.lifecycle.registry.scoring import fitted_scores, load_fitted
from include.lifecycle.results import Evaluation, PreparedData, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats
from include.lifecycle.storage import whole_folder
from include.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline


def evaluate_model(
    spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, prepared: PreparedData, trained: TrainedModel
) -> Evaluation:
    """Judge the trained model on `prepared.holdout`; writes the report's files and one ledger entry.

    Raises:
        ArtefactDigestError: the model file or the champion's is not what was written or registered.
        SourceUnavailableError: MLflow or the database did not answer.
        SpecInvalidError: an expression or function of the YAML cannot be computed on these rows.
        LifecycleError: challenger and champion were not scored on the same rows.
    """
    import pandas as pd

    train, holdout = pd.read_parquet(prepared.train), pd.read_parquet(prepared.holdout)
    pipeline = load_fitted(trained)
    own = scored_rows(spec, fitted_scorer(spec, pipeline), holdout)
    champion = champion_version(rt, spec.name)
    folder = run.folder(rt.storage)
    with built(spec, trained, pipeline, train, holdout, own.p, transformer_copy(prepared.train)) as served:
        case = Case(
            spec=spec,
            train=train,
            holdout=holdout,
            own=own,
            prior=prior_of(prepared),
            served=served,
            predict=_predictor(spec, pipeline),
            timed=_timed(folder, trained),
            rivals=_rivals(spec, rt, order, trained, holdout, own, champion, prepared.fit_until),
        )
        verdicts, silent = run_gates(case)
    evaluation = _conclude(case, verdicts, silent, champion, folder)
    with whole_folder(folder) as temporary:
        write_report(temporary, case, order, prepared, trained, evaluation)
    publish_page(rt, run, folder)
    _record(spec, rt, run, evaluation)
    return evaluation


@dataclass(frozen=True)
class Alone:
    """What rows say of predictions without model, artefact, training rows or champion; `switched_off` did not look for that."""

    verdicts: list[Verdict]
    metrics: dict[str, float]
    switched_off: dict[str, str]


def judge_alone(spec: ModelSpec, rows: pd.DataFrame, p: Floats, prior: Sequence[float] | float | None) -> Alone:
    """Judge predictions p of `rows`; `prior` is what the training labels say of any row (rate, mean, or classes' shares)."""
    known = [] if prior is None else [prior] if isinstance(prior, float | int) else list(prior)
    names = [spec.data.key, spec.data.event_time, spec.data.target]
    case = Case(spec, None, rows, Scored(rows[names], p), known)
    verdicts, silent = run_gates(case)
    return Alone(verdicts, case.metrics, silent)


def prior_of(prepared: PreparedData) -> Sequence[float]:
    """What the training labels say of any row; data prepared before that was stored has only the positive share."""
    return prepared.label_prior or ([] if prepared.positive_share is None else [prepared.positive_share])


def _predictor(spec: ModelSpec, pipeline: Pipeline) -> Callable[[pd.DataFrame], Floats]:
    return lambda rows: fitted_scores(pipeline, spec.features, rows)


def _rivals(
    spec: ModelSpec,
    rt: Runtime,
    order: TrainingOrder,
    trained: TrainedModel,
    holdout: pd.DataFrame,
    own: Scored,
    champion: int | None,
    fit_until: datetime,
) -> Rivals:
    """Champion and anchor, scored on the rows after both fits, and what is demanded against the champion."""
    if champion is None:
        return Rivals()
    opponent = load_champion(rt, spec.name, champion)
    wanted = demands(spec, order, trained.algorithm, opponent)
    faced = _faced(spec, opponent, holdout, own, fit_until)
    anchor = anchor_version(rt, spec.name) if spec.evaluation.anchor != "off" else None
    if anchor is None or anchor == champion:
        return Rivals(wanted, faced)
    rival = load_anchor(rt, spec.name, anchor)
    if isinstance(rival, str):
        return Rivals(wanted, faced, f"the anchor, version {anchor}, cannot be loaded: {rival}")
    return Rivals(wanted, faced, _faced(spec, rival, holdout, own, fit_until, ANCHOR))


def _faced(
    spec: ModelSpec, rival: Champion, holdout: pd.DataFrame, own: Scored, fit_until: datetime, role: str = "champion"
) -> Facing | str:
    return cannot_be_scored(spec, rival, holdout) or face(spec, rival, holdout, own, fit_until, role=role)


def _timed(folder: Path, trained: TrainedModel) -> list[Verdict]:
    """Latency as an earlier try of this task measured it: a measurement differs each time, a rerun must not."""
    return [verdict for verdict in earlier_verdicts(folder, trained.digest) if verdict.check == LATENCY]


def _conclude(case: Case, verdicts: list[Verdict], silent: dict[str, str], champion: int | None, folder: Path) -> Evaluation:
    decision = decide(case.spec, verdicts, champion)
    facing, y = case.rivals.facing, case.sample.y
    return Evaluation(
        verdicts=verdicts,
        outcome=decision.outcome,
        metrics=case.metrics,
        champion_metrics=task_metrics(case.spec, facing.sample.y, facing.old) if facing and facing.sample.rows else None,
        baseline_metrics=task_metrics(case.spec, y, case.trivial),
        deployable=decision.deployable,
        reason=decision.reason,
        report=folder / REPORT,
        champion=champion,
        held=decision.held,
        proven_better=champion is None or (facing is not None and proven_better(case.spec, facing)),
        switched_off=silent,
    )


def _record(spec: ModelSpec, rt: Runtime, run: RunContext, evaluation: Evaluation) -> None:
    act = "hold for a person" if evaluation.held else "allow a rollout" if evaluation.deployable else "refuse a rollout"
    rt.ledger.write(
        Entry(
            model=spec.name,
            kind="gate",
            act=act,
            reason=evaluation.reason,
            actor=run.actor,
            verdict=evaluation.outcome,
            version_before=evaluation.champion,
            spec_hash=spec.digest,
            run_id=run.run_id,
            idempotency_key=f"evaluate:{spec.name}:{run.run_id}:{evaluation.champion}",
            evidence={
                "verdicts": [verdict.model_dump(mode="json") for verdict in evaluation.verdicts],
                "switched_off": evaluation.switched_off,
                "proven_better": evaluation.proven_better,
                "metrics": evaluation.metrics,
                "champion_metrics": evaluation.champion_metrics,
                "baseline_metrics": evaluation.baseline_metrics,
            },
        )
    )
