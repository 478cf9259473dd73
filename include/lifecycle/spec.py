"""What a model's YAML may say, as frozen pydantic sections. Defaults do not stand here: `models/_defaults.yaml` is their home.

loading.py merges defaults, file and overlay into a ModelSpec; nothing downstream reads YAML. The descriptions become
schema.json and docs/yaml.md. Rules between keys stand in spec_rules.py, behaviour that does not exist yet in availability.py.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from include.lifecycle.units import Duration, PositiveDuration

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,48}$")]
Column = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Task = Literal["binary_classification", "multiclass_classification", "regression"]
NumericMethod = Literal["wasserstein", "kl_divergence"]
CategoricalMethod = Literal["jensen_shannon", "kl_divergence"]
Family = Literal["logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm", "linear_regression"]


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, types never guessed (`"20"` is no number)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataSection(Section):
    """Where training rows come from, and how many."""

    connection: str = Field(description="Airflow connection of the database that training rows are read from")
    query: str = Field(description="SQL file below include/sql, with the bound parameters :window_start and :window_end")
    key: Column = Field(description="column that identifies what a row is about; labels are joined on it")
    event_time: Column = Field(description="column with the time of the event that is predicted (timestamp with time zone)")
    target: Column = Field(description="column with the true outcome")
    window: PositiveDuration = Field(description="training rows are those of the last so much event time")
    max_rows: Positive = Field(description="rows; over this cap a sample of the whole window is taken")
    sample_by: str = Field(description="what decides whether a row is in the sample")
    new_rows_threshold: Positive = Field(description="rows; so much new data is worth a training (nothing counts them yet)")
    expectations: list[dict[str, Any]] = Field(
        description="Great Expectations that the fetched rows must meet, each as {expect_...: {argument: value}}"
    )
    holdout: Annotated[float, Field(gt=0, lt=0.9)] = Field(
        description="fraction of the window's newest rows that only evaluation sees"
    )
    minimum_rows: Positive = Field(description="rows; fewer are refused as no basis for a model")


class LabelsSection(Section):
    """Where true outcomes come from, and when they count as final."""

    query: str = Field(
        description="SQL file below include/sql that returns key, event_time, label, known_at; the newest known_at wins"
    )
    mature_after: Duration = Field(description="a label counts as final so long after its event")


class FeaturesSection(Section):
    """Columns that the model reads, by kind."""

    numeric: list[Column] = Field(description="columns that are read as numbers")
    categorical: list[Column] = Field(description="columns that are read as categories")

    @property
    def all(self) -> list[str]:
        """Numeric columns, then categorical ones: the order of every feature table."""
        return [*self.numeric, *self.categorical]


class ColumnSection(Section):
    """What is special about one column."""

    drift: Literal["watch", "ignore"] = Field(description="whether this column's drift is watched")
    pii: Literal["keep", "hash", "drop"] = Field(description="what happens to this column's values in logs and snapshots")


class ObjectiveSection(Section):
    """What a good model is. `floor: none` says that no absolute floor is wanted."""

    task: Task = Field(description="what kind of prediction it is")
    metric: Literal["roc_auc", "average_precision", "brier_score", "log_loss", "accuracy", "f1", "rmse", "mae", "r2"] = Field(
        description="what a version is judged by"
    )
    floor: float | Literal["none"] = Field(
        description="a version on the wrong side of this value of the metric is never rolled out; none: no floor is wanted"
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="probability; a prediction from it on is acted upon (accuracy, precision, recall, f1, action rate, fairness)"
    )


class TrainingSection(Section):
    """How the model is searched and fitted."""

    method: Literal["full", "incremental"] = Field(description="how a training starts: from nothing, or from the champion")
    estimators: list[Family] = Field(min_length=1, description="algorithms that tuning chooses from")
    trials: Positive = Field(description="Optuna trials, all workers together")
    workers: Annotated[int, Field(ge=1, le=16)] = Field(description="mapped tasks that work on one study")
    folds: Annotated[int, Field(ge=2, le=20)] = Field(description="forward-chaining folds of the cross-validation")
    tuning_rows: Positive = Field(description="rows; tuning samples so many, the final fit uses all")
    seed: int = Field(description="every random choice starts here")
    threads: Positive = Field(description="native threads of each worker")
    timeout: PositiveDuration = Field(description="tuning stops after this wall time")
    entry_point: str | None = Field(description="own training function as module:function")


class FairnessSection(Section):
    """Groups between which rates must not differ by more than `max_gap` (interval above the limit fails)."""

    attributes: list[Column] = Field(description="columns whose groups are compared")
    max_gap: Share = Field(description="fraction; a gap whose whole interval lies above it fails")


class EvaluationSection(Section):
    """What a challenger must show."""

    promote_if: Literal["not_worse", "better"] = Field(description="what a scheduled challenger must show against the champion")
    margin: NotNegative = Field(description="in units of the metric; so much worse still counts as not worse")
    resample_by: Literal["day", "entity"] = Field(description="blocks of the bootstrap")
    resamples: Annotated[int, Field(ge=100)] = Field(description="bootstrap resamples")
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(description="confidence of all intervals")
    minimum_rows: Positive = Field(description="rows; fewer common rows are inconclusive")
    fairness: FairnessSection = Field(description="groups that must not fare differently")
    slices: list[str] = Field(description="parts of the data that are judged on their own")
    business: str | None = Field(description="a business metric as module:function")


class RolloutStep(Section):
    """One canary step: this share of traffic, for at least so long and so many requests of the canary."""

    percent: Annotated[int, Field(ge=1, le=99)] = Field(description="percent of the traffic that the canary gets")
    at_least: Duration = Field(description="wall time that the step lasts at least")
    requests: Annotated[int, Field(ge=0)] = Field(description="requests of the canary that the step needs at least")


class LimitsSection(Section):
    """Hard limits of a rollout; breaking one returns the traffic at once."""

    error_rate: Share = Field(description="fraction of the canary's requests that may fail")
    latency_ratio: Annotated[float, Field(gt=1)] = Field(description="canary's p95 over the champion's p95")
    latency_floor: Duration = Field(description="a ratio counts only when the p95s differ by more than this")
    performance_drop: Share = Field(description="fraction of the champion's skill that may be lost")


class RolloutSection(Section):
    """How a version takes over the traffic."""

    strategy: Literal["canary", "blue_green", "rolling", "shadow", "ab_test", "direct"] = Field(
        description="how traffic moves to the new version"
    )
    steps: list[RolloutStep] = Field(min_length=1, description="canary steps, rising; full promotion follows the last")
    limits: LimitsSection = Field(description="hard limits; breaking one returns all traffic at once")
    false_rollback_rate: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        description="probability of rolling back an equally good version, per rollout, split over its tests"
    )
    give_up_after: PositiveDuration = Field(description="wall time after which a rollout without a conclusion ends")
    on_inconclusive: Literal["roll_back", "hold"] = Field(description="what happens when the evidence does not come")
    bake: Duration = Field(description="wall time of provisional promotion, while the old champion stays warm")
    poll: PositiveDuration = Field(description="wall time between two looks of the driver")
    lease: PositiveDuration = Field(description="wall time after which another driver may take over")
    approval_timeout: PositiveDuration = Field(description="wall time that an approval is waited for")
    approvers: list[str] = Field(description="Airflow user names that may approve; empty: anyone who may trigger the Dag")

    @field_validator("steps")
    @classmethod
    def _steps_rise(cls, steps: list[RolloutStep]) -> list[RolloutStep]:
        percents = [step.percent for step in steps]
        if percents != sorted(set(percents)):
            raise ValueError(f"steps must rise strictly; got percents {percents}")
        return steps


class DriftSection(Section):
    """When a distance counts: above its minimum effect and above its own null quantile."""

    numeric: NumericMethod = Field(description="distance of numeric features and predictions; a version keeps its own")
    categorical: CategoricalMethod = Field(description="distance of categorical features; a version keeps its own")
    minimum_effect: NotNegative = Field(description="distance below which nothing is drift")
    act_effect: NotNegative = Field(
        description="distance above its threshold at which prediction drift takes all of its part of health; nothing acts on it"
    )
    false_alarms_per_quarter: Annotated[float, Field(gt=0)] = Field(
        description="false alarms that are put up with per model, over all its columns and windows"
    )


class PerformanceSection(Section):
    """Ladder on the relative loss of skill (bound of its interval), as fractions."""

    warn: Share = Field(description="fraction of skill lost that warns")
    act: Share = Field(description="fraction of skill lost that is decay")
    concept: Share = Field(description="fraction of skill lost that is called concept drift")
    calibration_gap: Share = Field(description="|mean prediction - observed rate| that is decay")


class MonitoringSection(Section):
    """What is watched, how often, and over which windows of event time."""

    schedule: Literal["hourly", "daily", "weekly"] = Field(description="how often the model is looked at")
    window: PositiveDuration = Field(description="event time per window")
    minimum_rows: Positive = Field(description="rows; fewer predictions are inconclusive")
    minimum_labels: Positive = Field(description="rows; fewer mature labels are inconclusive")
    report_rows: Positive = Field(description="rows of the Evidently report's sample")
    drift: DriftSection = Field(description="when inputs have moved")
    performance: PerformanceSection = Field(description="when outcomes have moved")


class ConfirmSection(Section):
    """A signal counts when it stood in `windows` of the last `of`, over at least `spanning`."""

    windows: Positive = Field(description="windows that must have shown the signal")
    of: Positive = Field(description="out of so many newest windows")
    spanning: Duration = Field(description="event time between the first and the last of them, at least")


class RetrainingSection(Section):
    """When a signal becomes a training."""

    mode: Literal["off", "suggest", "approve", "auto"] = Field(description="what a confirmed signal leads to")
    cooldown: Duration = Field(
        description="event time since the last training request of any source before a signal may ask for one"
    )
    confirm: ConfirmSection = Field(description="when a signal counts")
    max_age: Duration = Field(description="a champion older than this asks for a training (nothing looks at its age yet)")
    budget_per_month: Annotated[int, Field(ge=0)] = Field(
        description="trainings in a calendar month, the scheduled ones too; forced ones are not counted"
    )
    freeze: list[str] = Field(description="periods in which nothing is trained")


class AlertsSection(Section):
    """Who is told."""

    owner: str | None = Field(description="where the owner is told, as conn:<Airflow connection>")


class RetentionSection(Section):
    """How long versions are kept."""

    keep_versions: Positive = Field(
        description="newest versions whose served copies are kept when retired (files in the registry are always kept)"
    )
    retire_after: Duration = Field(description="event time after which a version without an alias is retired")
    keep_predictions: Duration = Field(description="event time that the prediction log is kept")


class ModelSpec(Section):
    """One model, whole: every effective value."""

    name: Name = Field(description="the model's name, equal to the file's name")
    description: str = Field(description="one sentence on what is predicted")
    owner: str = Field(description="team that answers for the model; owner of its Dags")
    tier: Literal["primary", "secondary"] = Field(
        description="primary: trained weekly, Sunday 02:00 UTC; secondary: monthly, on the first day, 02:00 UTC"
    )
    risk: Literal["low", "medium", "high"] = Field(
        description="who approves a rollout: low nobody, medium one person, high a committee"
    )
    serving: Literal["online", "batch", "external"] = Field(description="where predictions are made")
    data: DataSection = Field(description="where training rows come from, and how many")
    labels: LabelsSection = Field(description="where true outcomes come from, and when they are final")
    features: FeaturesSection = Field(description="columns that the model reads")
    columns: dict[str, ColumnSection] = Field(description="what is special about single columns, by name")
    objective: ObjectiveSection = Field(description="what a good model is")
    training: TrainingSection = Field(description="how the model is searched and fitted")
    evaluation: EvaluationSection = Field(description="what a challenger must show")
    rollout: RolloutSection = Field(description="how a version takes over the traffic")
    monitoring: MonitoringSection = Field(description="what is watched, how often, and when it counts")
    retraining: RetrainingSection = Field(description="when a signal becomes a training")
    alerts: AlertsSection = Field(description="who is told")
    retention: RetentionSection = Field(description="how long versions and predictions are kept")

    @property
    def digest(self) -> str:
        """Sha256 over the effective values: two runs with the same digest followed the same rules."""
        plain = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()

    @property
    def watched(self) -> list[str]:
        """Features whose drift is watched."""
        return [name for name in self.features.all if name not in self.columns or self.columns[name].drift == "watch"]
