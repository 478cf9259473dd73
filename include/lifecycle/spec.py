"""What a model's YAML may say, as frozen pydantic sections. No default number stands here: `models/_defaults.yaml` is their only home.

loading.py merges defaults, file and overlay into a ModelSpec; nothing downstream reads YAML.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from include.lifecycle.units import Duration

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,48}$")]
Column = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Task = Literal["binary_classification", "multiclass_classification", "regression"]
Family = Literal["logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm", "linear_regression"]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSection(Section):
    """Where training rows come from, and how many."""

    connection: str
    query: str
    key: Column
    event_time: Column
    target: Column
    window: Duration
    max_rows: Positive
    sample_by: str
    new_rows_threshold: Positive
    expectations: list[dict[str, Any]]
    holdout: Annotated[float, Field(gt=0, lt=0.9)]
    minimum_rows: Positive


class LabelsSection(Section):
    """Where true outcomes come from, and when they count as final."""

    query: str
    mature_after: Duration


class FeaturesSection(Section):
    """Columns that the model reads, by kind."""

    numeric: list[Column]
    categorical: list[Column]

    @property
    def all(self) -> list[str]:
        """Numeric columns, then categorical ones: the order of every feature table."""
        return [*self.numeric, *self.categorical]


class ColumnSection(Section):
    """What is special about one column."""

    drift: Literal["watch", "ignore"]
    pii: Literal["keep", "hash", "drop"]


class ObjectiveSection(Section):
    """What a good model is. `floor: none` says that no absolute floor is wanted."""

    task: Task
    metric: Literal["roc_auc", "average_precision", "brier_score", "log_loss", "accuracy", "f1", "rmse", "mae", "r2"]
    floor: float | Literal["none"]


class TrainingSection(Section):
    """How the model is searched and fitted."""

    method: Literal["full", "incremental"]
    estimators: list[Family] = Field(min_length=1)
    trials: Positive
    workers: Annotated[int, Field(ge=1, le=16)]
    folds: Annotated[int, Field(ge=2, le=20)]
    tuning_rows: Positive
    seed: int
    threads: Positive
    timeout: Duration
    entry_point: str | None


class FairnessSection(Section):
    """Groups between which rates must not differ by more than `max_gap` (interval above the limit fails)."""

    attributes: list[Column]
    max_gap: Share


class EvaluationSection(Section):
    """What a challenger must show."""

    promote_if: Literal["not_worse", "better"]
    margin: NotNegative
    resample_by: Literal["day", "entity"]
    resamples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    minimum_rows: Positive
    fairness: FairnessSection
    slices: list[str]
    business: str | None


class RolloutStep(Section):
    """One canary step: this share of traffic, for at least so long and so many requests of the canary."""

    percent: Annotated[int, Field(ge=1, le=99)]
    at_least: Duration
    requests: Annotated[int, Field(ge=0)]


class LimitsSection(Section):
    """Hard limits of a rollout; breaking one returns the traffic at once."""

    error_rate: Share
    latency_ratio: Annotated[float, Field(gt=1)]
    latency_floor: Duration
    performance_drop: Share


class RolloutSection(Section):
    """How a version takes over the traffic."""

    strategy: Literal["canary", "blue_green", "rolling", "shadow", "ab_test", "direct"]
    steps: list[RolloutStep] = Field(min_length=1)
    limits: LimitsSection
    false_rollback_rate: Annotated[float, Field(gt=0, lt=0.5)]
    give_up_after: Duration
    on_inconclusive: Literal["roll_back", "hold"]
    bake: Duration
    poll: Duration
    lease: Duration
    approval_timeout: Duration
    approvers: list[str]

    @model_validator(mode="after")
    def _steps_rise(self) -> RolloutSection:
        percents = [step.percent for step in self.steps]
        if percents != sorted(set(percents)):
            raise ValueError(f"steps must rise strictly; got percents {percents}")
        return self


class DriftSection(Section):
    """When a distance counts: above its minimum effect and above its own null quantile."""

    minimum_effect: NotNegative
    act_effect: NotNegative
    false_alarms_per_quarter: Annotated[float, Field(gt=0)]


class PerformanceSection(Section):
    """Ladder on the relative loss of skill (bound of its interval), as fractions."""

    warn: Share
    act: Share
    concept: Share
    calibration_gap: Share


class MonitoringSection(Section):
    """What is watched, how often, and over which windows of event time."""

    schedule: Literal["hourly", "daily", "weekly"]
    window: Duration
    minimum_rows: Positive
    minimum_labels: Positive
    report_rows: Positive
    drift: DriftSection
    performance: PerformanceSection


class ConfirmSection(Section):
    """A signal counts when it stood in `windows` of the last `of`, over at least `spanning`."""

    windows: Positive
    of: Positive
    spanning: Duration


class RetrainingSection(Section):
    """When a signal becomes a training."""

    mode: Literal["off", "suggest", "approve", "auto"]
    cooldown: Duration
    confirm: ConfirmSection
    max_age: Duration
    budget_per_month: Annotated[int, Field(ge=0)]
    freeze: list[str]


class AlertsSection(Section):
    """Who is told."""

    owner: str | None


class RetentionSection(Section):
    """How long versions are kept."""

    keep_versions: Positive
    retire_after: Duration
    keep_predictions: Duration


class ModelSpec(Section):
    """One model, whole: every effective value."""

    name: Name
    description: str
    owner: str
    tier: Literal["primary", "secondary"]
    risk: Literal["low", "medium", "high"]
    serving: Literal["online", "batch", "external"]
    data: DataSection
    labels: LabelsSection
    features: FeaturesSection
    columns: dict[str, ColumnSection]
    objective: ObjectiveSection
    training: TrainingSection
    evaluation: EvaluationSection
    rollout: RolloutSection
    monitoring: MonitoringSection
    retraining: RetrainingSection
    alerts: AlertsSection
    retention: RetentionSection

    @property
    def digest(self) -> str:
        """Sha256 over the effective values: two runs with the same digest followed the same rules."""
        plain = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()

    @property
    def watched(self) -> list[str]:
        """Features whose drift is watched."""
        return [name for name in self.features.all if name not in self.columns or self.columns[name].drift == "watch"]
