"""Stage evaluate_model: every gate on the hold-out, one decision whether the version may be rolled out, and a report of both.

Any fail stops it. A comparison that cannot tell lets the canary decide; a first version has no canary, so its floor and its gain
over the baseline must be clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.evaluation.champion import Comparison, compare, demands, load_champion
from include.lifecycle.evaluation.fairness import fairness_gates
from include.lifecycle.evaluation.gates import BASELINE, FLOOR, baseline_gate, floor_gate, no_champion
from include.lifecycle.evaluation.metrics import binary_metrics, objective_metric
from include.lifecycle.evaluation.report import REPORT, write_report
from include.lifecycle.evaluation.sample import sample_of
from include.lifecycle.ledger import Entry
from include.lifecycle.registry.client import champion_version
from include.lifecycle.registry.scoring import fitted_scores, load_fitted
from include.lifecycle.results import Evaluation, PreparedData, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats
from include.lifecycle.storage import whole_folder
from include.lifecycle.verdicts import Verdict, worst

if TYPE_CHECKING:
    import pandas as pd


def evaluate_model(
    spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, prepared: PreparedData, trained: TrainedModel
) -> Evaluation:
    """Judge the trained model on `prepared.holdout`; writes `evaluation.json` and `evaluation.md` and one ledger entry.

    Raises:
        ArtefactDigestError: the model file or the champion's is not what was written or registered.
        SourceUnavailableError: MLflow or the database did not answer.
        SpecInvalidError: the task has no gates yet.
    """
    import pandas as pd

    if spec.objective.task != "binary_classification":
        raise SpecInvalidError(f"{spec.name}: no gates for task {spec.objective.task} yet; allowed: binary_classification")
    holdout = pd.read_parquet(prepared.holdout)
    p = fitted_scores(load_fitted(trained), spec.features, holdout)
    champion = champion_version(rt, spec.name)
    own = judge_alone(spec, holdout, p, prepared.positive_share)
    against = _compared(spec, rt, order, trained, (holdout, p), champion, prepared.fit_until)
    verdicts = [*own.verdicts, *against.verdicts]
    deployable, reason = may_roll_out(verdicts, champion)
    evaluation = Evaluation(
        verdicts=verdicts,
        outcome=worst(verdicts),
        metrics=own.metrics,
        champion_metrics=against.metrics,
        baseline_metrics=own.baseline,
        deployable=deployable,
        reason=reason,
        report=run.folder(rt.storage) / REPORT,
    )
    with whole_folder(run.folder(rt.storage)) as folder:
        write_report(folder, spec, order, prepared, trained, evaluation)
    _record(spec, rt, run, evaluation, champion)
    return evaluation


@dataclass(frozen=True)
class Alone:
    """What the hold-out says of the model without any opponent but the trivial baseline."""

    verdicts: list[Verdict]
    metrics: dict[str, float]
    baseline: dict[str, float]


def judge_alone(spec: ModelSpec, holdout: pd.DataFrame, p: Floats, prior: float | None) -> Alone:
    """Floor, baseline and fairness of predictions p (n,) of `holdout`; `prior` is the training rate (None: one half)."""
    metric, sample = objective_metric(spec), sample_of(spec, holdout)
    floor = None if spec.objective.floor == "none" else float(spec.objective.floor)
    rate = 0.5 if prior is None else prior
    verdicts = [
        floor_gate(metric, floor, sample, p),
        baseline_gate(metric, sample, p, rate),
        *fairness_gates(spec, holdout, sample, p),
    ]
    bounds = sample.value(metric, p)
    known = {f"{metric.name}_lower": bounds.lower, f"{metric.name}_upper": bounds.upper} if bounds.known else {}
    own, trivial = (binary_metrics(sample.y, one, spec.objective.threshold) for one in (p, np.full(sample.rows, rate)))
    return Alone(verdicts, own | known, trivial)


def may_roll_out(verdicts: list[Verdict], champion: int | None) -> tuple[bool, str]:
    """Whether a version with these verdicts may be rolled out, and why in one sentence.

    Inconclusive is never a pass: with a champion the canary decides, without one nothing else would.
    """
    if failed := [verdict for verdict in verdicts if verdict.failed]:
        return False, "; ".join(f"{verdict.check}: {verdict.reason}" for verdict in failed)
    open_ones = [verdict for verdict in verdicts if not verdict.passed]
    needed = [verdict for verdict in open_ones if verdict.check in (FLOOR, BASELINE)]
    if champion is None and needed:
        return False, "a first version has no canary: " + "; ".join(f"{verdict.check}: {verdict.reason}" for verdict in needed)
    if open_ones:
        decides = "the canary decides" if champion is not None else "named for a person to weigh"
        return True, f"no gate failed; inconclusive, {decides}: {', '.join(verdict.check for verdict in open_ones)}"
    return True, "every gate passed"


def _compared(
    spec: ModelSpec,
    rt: Runtime,
    order: TrainingOrder,
    trained: TrainedModel,
    scored: tuple[pd.DataFrame, Floats],
    champion: int | None,
    fit_until: datetime,
) -> Comparison:
    if champion is None:
        return Comparison([no_champion()], None)
    opponent = load_champion(rt, spec.name, champion)
    return compare(spec, opponent, *scored, fit_until, demands(spec, order, trained.algorithm, opponent))


def _record(spec: ModelSpec, rt: Runtime, run: RunContext, evaluation: Evaluation, champion: int | None) -> None:
    rt.ledger.write(
        Entry(
            model=spec.name,
            kind="gate",
            act="allow a rollout" if evaluation.deployable else "refuse a rollout",
            reason=evaluation.reason,
            actor=run.actor,
            verdict=evaluation.outcome,
            version_before=champion,
            spec_hash=spec.digest,
            run_id=run.run_id,
            idempotency_key=f"evaluate:{spec.name}:{run.run_id}:{champion}",
            evidence={
                "verdicts": [verdict.model_dump(mode="json") for verdict in evaluation.verdicts],
                "metrics": evaluation.metrics,
                "champion_metrics": evaluation.champion_metrics,
                "baseline_metrics": evaluation.baseline_metrics,
            },
        )
    )
