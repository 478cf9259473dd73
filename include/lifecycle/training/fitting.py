"""Stage train_model: refit the study's best point on all training rows, save it, and close the parent run's training part.

Hands `model.skops` and its sha256 to evaluation and registration; what is evaluated is what is registered.
"""

from __future__ import annotations

import json
import time
from typing import Any

from include.lifecycle.errors import GateFailedError
from include.lifecycle.results import PreparedData, StudyPlan, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import sha256_of, whole_folder
from include.lifecycle.training.pipelines import build_pipeline, feature_table, labels_of
from include.lifecycle.training.search import chosen
from include.lifecycle.training.study import finished_trials, load_study, study_calls
from include.lifecycle.training.tracking import log_to_run

MODEL_FILE, RECORD_FILE = "model.skops", "training.json"


def train_model(
    spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, plan: StudyPlan, prepared: PreparedData
) -> TrainedModel:
    """Fit the winner and write `model.skops` and `training.json` into the stage's folder.

    Raises:
        GateFailedError: the study holds no completed trial (tuning ran out of time).
        SourceUnavailableError: study database or MLflow did not answer.
    """
    import pandas as pd
    import skops.io
    from threadpoolctl import threadpool_limits

    algorithm, params, found = _winner(spec, rt, plan)
    rows = pd.read_parquet(prepared.train)
    started = time.monotonic()
    with threadpool_limits(spec.training.threads):
        pipeline = build_pipeline(spec, algorithm, params)
        pipeline.fit(feature_table(spec.features, rows), labels_of(spec, rows))
    seconds = time.monotonic() - started
    record = {"algorithm": algorithm, "seed": spec.training.seed, "method": order.method, **params}
    folder = run.folder(rt.storage)
    with whole_folder(folder) as temporary:
        skops.io.dump(pipeline, temporary / MODEL_FILE)
        digest = sha256_of(temporary / MODEL_FILE)
        told = {
            "model": spec.name,
            "run_id": run.run_id,
            "study": plan.study,
            "seconds": seconds,
            "digest": digest,
            **record,
            **found,
        }
        (temporary / RECORD_FILE).write_text(json.dumps(told, indent=1), encoding="utf-8")
    log_to_run(
        rt,
        plan.parent_run_id,
        {**record, "train_rows": len(rows), "fit_until": prepared.fit_until.isoformat(), "features": len(spec.features.all)},
        {"fit_seconds": seconds, **found},
        end=True,
    )
    return TrainedModel(
        folder=folder, digest=digest, algorithm=algorithm, params=params, run_id=plan.parent_run_id, seconds=seconds
    )


def _winner(spec: ModelSpec, rt: Runtime, plan: StudyPlan) -> tuple[str, dict[str, Any], dict[str, float]]:
    """Algorithm, parameters, and what tuning found: the mean fold score and the number of trials."""
    with study_calls(rt):
        study = load_study(rt, plan.study)
        finished = finished_trials(study)
        if not any(trial.state.name == "COMPLETE" for trial in finished):
            raise GateFailedError(
                f"model {spec.name}: study {plan.study} holds no completed trial; training.timeout may be too short"
            )
        best = study.best_trial
        algorithm, params = chosen(best, spec.training)
        return algorithm, params, {f"tuning_{spec.objective.metric}": float(best.value or 0.0), "trials": float(len(finished))}
