"""What a model's YAML may say, as one frozen pydantic model. Defaults do not stand here: `models/_defaults.yaml` is their home.

loading.py merges defaults, file and overlay into a ModelSpec; nothing downstream reads YAML. The sections stand in sections/;
their descriptions become schema.json and docs/yaml.md. Rules between keys stand in spec_rules.py, and settings whose behaviour
does not exist yet in availability.py.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import Field

from include.lifecycle.sections.alerts import AlertsSection
from include.lifecycle.sections.approval import ApprovalSection
from include.lifecycle.sections.base import Name, Section
from include.lifecycle.sections.card import CardSection
from include.lifecycle.sections.data import ColumnSection, DataSection, FeaturesSection, LabelsSection
from include.lifecycle.sections.evaluation import EvaluationSection, FairnessSection
from include.lifecycle.sections.export import ExportSection, QuantiseSection
from include.lifecycle.sections.monitoring import DriftSection, MonitoringSection, PerformanceSection
from include.lifecycle.sections.prediction_log import PredictionLogSection
from include.lifecycle.sections.reports import ReportsSection
from include.lifecycle.sections.retention import RetentionSection
from include.lifecycle.sections.retraining import ConfirmSection, RetrainingSection
from include.lifecycle.sections.rollout import LimitsSection, RolloutSection, RolloutStep
from include.lifecycle.sections.server import ServerSection
from include.lifecycle.sections.training import ObjectiveSection, TrainingSection

__all__ = [
    "AlertsSection",
    "ApprovalSection",
    "CardSection",
    "ColumnSection",
    "ConfirmSection",
    "DataSection",
    "DriftSection",
    "EvaluationSection",
    "ExportSection",
    "FairnessSection",
    "FeaturesSection",
    "LabelsSection",
    "LimitsSection",
    "ModelSpec",
    "MonitoringSection",
    "Name",
    "ObjectiveSection",
    "PerformanceSection",
    "PredictionLogSection",
    "QuantiseSection",
    "ReportsSection",
    "RetentionSection",
    "RetrainingSection",
    "RolloutSection",
    "RolloutStep",
    "Section",
    "ServerSection",
    "TrainingSection",
]


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
    server: ServerSection = Field(description="the processes that answer for one version")
    rollout: RolloutSection = Field(description="how a version takes over the traffic")
    approval: ApprovalSection = Field(description="who must say yes before a version gets traffic")
    monitoring: MonitoringSection = Field(description="what is watched, how often, and when it counts")
    retraining: RetrainingSection = Field(description="when a signal becomes a training")
    alerts: AlertsSection = Field(description="who is told of what, how, and who is next")
    retention: RetentionSection = Field(description="how long versions are kept")
    prediction_log: PredictionLogSection = Field(description="how answers are logged, and how long they are kept")
    card: CardSection = Field(description="what the model card says that no measurement can tell")
    reports: ReportsSection = Field(description="which reports are written about the model, its goals and prices")
    export: ExportSection = Field(description="which further files a version offers for download")

    @property
    def digest(self) -> str:
        """Sha256 over the effective values: two runs with the same digest followed the same rules."""
        plain = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()

    def drift_method(self, name: str) -> str:
        """How the drift of a feature is measured: the column's own method, else that of its kind."""
        own = self.columns[name].method if name in self.columns else None
        rules = self.monitoring.drift
        return own or (rules.numeric if name in self.features.numeric else rules.categorical)

    @property
    def watched(self) -> list[str]:
        """Features whose drift is watched."""
        return [name for name in self.features.all if name not in self.columns or self.columns[name].drift == "watch"]
