"""Sections objective and training: what a good model is, and how it is searched and fitted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.lifecycle.sections.base import Positive, Section
from include.lifecycle.sections.tuning import (
    FoldingSection,
    HeartbeatSection,
    IncrementalSection,
    PruningSection,
    SearchSpaces,
)
from include.lifecycle.units import PositiveDuration

Task = Literal["binary_classification", "multiclass_classification", "regression"]
Family = Literal["logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm", "linear_regression"]
MetricName = Literal[
    "roc_auc",
    "average_precision",
    "brier_score",
    "log_loss",
    "accuracy",
    "f1",
    "f1_macro",
    "f1_weighted",
    "precision_macro",
    "precision_weighted",
    "recall_macro",
    "roc_auc_ovr",
    "rmse",
    "mae",
    "r2",
    "median_absolute_error",
    "mape",
]


class ObjectiveSection(Section):
    """What a good model is. `floor: none` says that no absolute floor is wanted."""

    task: Task = Field(description="what kind of prediction it is")
    classes: list[str] = Field(
        description="the classes of a multiclass target, in the order of its probabilities; empty for the other tasks"
    )
    metric: MetricName = Field(description="what a version is judged by; docs/tasks.md says which task has which")
    floor: float | Literal["none"] = Field(
        description="a version on the wrong side of this value of the metric (below a score, above an error) is never rolled "
        "out; none: no floor is wanted"
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="probability of a binary target; a prediction from it on is acted upon (accuracy, precision, recall, f1, "
        "action rate, fairness)"
    )


class TrainingSection(Section):
    """How the model is searched and fitted."""

    method: Literal["full", "incremental"] = Field(description="how a training starts: from nothing, or from the champion")
    estimators: list[Family] = Field(min_length=1, description="algorithms that tuning chooses from")
    trials: Positive = Field(description="Optuna trials, all workers together")
    workers: Annotated[int, Field(ge=1, le=16)] = Field(description="mapped tasks that work on one study")
    search: SearchSpaces = Field(
        description="what tuning may try: per algorithm and parameter a range (low, high, start, log), a list of choices, or one "
        "value that is kept"
    )
    folds: Annotated[int, Field(ge=2, le=20)] = Field(description="folds of the cross-validation")
    folding: FoldingSection = Field(description="how rows are cut into folds")
    pruning: PruningSection = Field(description="when a trial is stopped early")
    tuning_rows: Positive = Field(description="rows; tuning samples so many, the final fit uses all")
    seed: int = Field(description="every random choice starts here")
    threads: Positive = Field(description="native threads of each worker")
    timeout: PositiveDuration = Field(
        description="tuning stops after this wall time, counted from its first worker's start; a rerun does not start it again"
    )
    stop_after_no_improvement: Positive | None = Field(
        description="tuning stops after so many finished trials without a better one, all workers together; null: never"
    )
    warm_start: bool = Field(description="whether the champion's parameters are tried first, drawn into the bounds")
    study_plots: bool = Field(description="whether pictures and a table of the study are kept with the MLflow run")
    heartbeat: HeartbeatSection = Field(description="how a dead worker's trial is found and run again")
    incremental: IncrementalSection = Field(description="how method incremental learns on")
    entry_point: str | None = Field(description="own training function as module:function")
