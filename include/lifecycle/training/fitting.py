"""Stage train_model: fit the training's model on all its rows, save it, and close the parent run's training part.

The model is the study's best point refitted, the champion with new rows added, or what the model's own function made (way.py).
Hands `model.skops` and its sha256 to evaluation and registration; what is evaluated is what is registered.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from include.lifecycle.errors import GateFailedError
from include.lifecycle.results import PreparedData, StudyPlan, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import sha256_of, whole_folder
from include.lifecycle.training.champion import MODEL_FILE, RECORD_FILE, training_record
from include.lifecycle.training.entry_point import TrainingInput, call_entry_point, source_of
from include.lifecycle.training.incremental import learn_on, trees_of
from include.lifecycle.training.pipelines import build_pipeline, feature_table, labels_of
from include.lifecycle.training.record import replay_facts
from include.lifecycle.training.search import chosen
from include.lifecycle.training.study import finished_trials, load_study, study_calls
from include.lifecycle.training.study_plots import log_study
from include.lifecycle.training.threads import native_threads
from include.lifecycle.training.tracking import log_to_run

__all__ = ["MODEL_FILE", "RECORD_FILE", "train_model"]


@dataclass(frozen=True)
class Fitted:
    """A fitted model and what is to be told of it: numbers for MLflow, facts for the record."""

    model: Any
    algorithm: str
    params: dict[str, Any]
    numbers: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def train_model(
    spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, plan: StudyPlan, prepared: PreparedData
) -> TrainedModel:
    """Fit and write `model.skops` and `training.json` into the stage's folder.

    Raises:
        GateFailedError: the study holds no completed trial (tuning ran out of time).
        EntryPointError: the model's own function failed, or its model cannot be judged, stored or served.
        DataInvalidError, ArtefactDigestError: method incremental, see incremental.py.
        SourceUnavailableError: study database or MLflow did not answer.
    """
    import skops.io

    started = time.monotonic()
    with native_threads(spec.training.threads):
        fitted = _FITS[plan.method](spec, rt, order, plan, prepared)
    seconds = time.monotonic() - started
    known = {"model": spec.name, "run_id": run.run_id, "mlflow_run": plan.parent_run_id, "seconds": seconds}
    known |= {"algorithm": fitted.algorithm, "params": fitted.params, "as_of": order.as_of.isoformat()}
    record = known | replay_facts(spec, rt, plan, prepared) | fitted.facts | fitted.numbers
    folder = run.folder(rt.storage)
    with whole_folder(folder) as temporary:
        skops.io.dump(fitted.model, temporary / MODEL_FILE)
        digest = sha256_of(temporary / MODEL_FILE)
        (temporary / RECORD_FILE).write_text(json.dumps(record | {"digest": digest}, indent=1, default=str), encoding="utf-8")
    if plan.method == "full" and spec.training.study_plots:
        log_study(spec, rt, plan)
    _log(spec, rt, plan, prepared, fitted, record, seconds)
    return TrainedModel(
        folder=folder,
        digest=digest,
        algorithm=fitted.algorithm,
        params=fitted.params,
        run_id=plan.parent_run_id,
        seconds=seconds,
        method=plan.method,
        base_version=plan.base_version,
        tags=_tags(plan, record),
    )


def _by_study(spec: ModelSpec, rt: Runtime, order: TrainingOrder, plan: StudyPlan, prepared: PreparedData) -> Fitted:
    """The study's best point, refitted on all training rows."""
    import pandas as pd

    with study_calls(rt):
        study = load_study(rt, plan.study, spec.training)
        finished = finished_trials(study)
        if not any(trial.state.name == "COMPLETE" for trial in finished):
            raise GateFailedError(
                f"model {spec.name}: study {plan.study} holds no completed trial; training.timeout may be too short"
            )
        best = study.best_trial
    algorithm, params = chosen(best, spec.training)
    rows = pd.read_parquet(prepared.train)
    pipeline = build_pipeline(spec, algorithm, params).fit(feature_table(spec.features, rows), labels_of(spec, rows))
    numbers = {f"tuning_{spec.objective.metric}": float(best.value or 0.0), "trials": float(len(finished))}
    facts = {"trial": best.number, "trees": trees_of(pipeline[-1]), "fit_rows": len(rows)}
    return Fitted(pipeline, algorithm, params, numbers, facts)


def _by_champion(spec: ModelSpec, rt: Runtime, order: TrainingOrder, plan: StudyPlan, prepared: PreparedData) -> Fitted:
    """The champion, with the rows since its fit added."""
    import pandas as pd

    learnt = learn_on(spec, rt, int(plan.base_version or 0), pd.read_parquet(prepared.train))
    facts = {"trees": trees_of(learnt.pipeline[-1]), "fit_rows": learnt.rows}
    return Fitted(learnt.pipeline, learnt.algorithm, learnt.params, {"new_rows": float(learnt.rows)}, facts)


def _by_function(spec: ModelSpec, rt: Runtime, order: TrainingOrder, plan: StudyPlan, prepared: PreparedData) -> Fitted:
    """What the model's own function makes of the training rows."""
    home, said = rt.settings.home, str(spec.training.entry_point)
    _, digest = source_of(home, said)
    before = training_record(rt, spec.name, order.champion) if order.champion is not None else None
    inputs = TrainingInput(
        spec=spec,
        rows=prepared.train,
        seed=spec.training.seed,
        threads=spec.training.threads,
        as_of=order.as_of,
        champion=dict(before["params"]) if before else None,
    )
    bundle = call_entry_point(home, said, inputs)
    facts = {"entry_point": said, "entry_point_digest": digest, "fit_rows": prepared.train_rows}
    numbers = {name: float(value) for name, value in bundle.metrics.items()}
    return Fitted(bundle.estimator, bundle.algorithm, dict(bundle.params), numbers, facts)


_FITS = {"full": _by_study, "incremental": _by_champion, "entry_point": _by_function}


def _log(
    spec: ModelSpec,
    rt: Runtime,
    plan: StudyPlan,
    prepared: PreparedData,
    fitted: Fitted,
    record: dict[str, Any],
    seconds: float,
) -> None:
    told = {name: record[name] for name in ("algorithm", "seed", "threads", "method", "train_rows", "fit_until")}
    told |= {name: value for name, value in fitted.facts.items() if value is not None}
    told |= {"features": len(spec.features.all), **({"base_version": plan.base_version} if plan.base_version else {})}
    numbers = {"fit_seconds": seconds, "quarantined_rows": float(prepared.quarantined_rows), **fitted.numbers}
    log_to_run(rt, plan.parent_run_id, told | fitted.params, numbers, end=True)


def _tags(plan: StudyPlan, record: dict[str, Any]) -> dict[str, str]:
    """Tags of the version that say how it was trained."""
    wanted = ("method", "base_version", "lock_digest", "entry_point", "entry_point_digest")
    return {name: str(record[name]) for name in wanted if record.get(name) is not None}
