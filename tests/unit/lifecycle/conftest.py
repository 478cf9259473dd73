"""Fixtures of the lifecycle's unit tests: `project`, an installation in an empty folder with one good model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model
from include.settings import Settings, load_settings

CHURN = """\
name: churn
description: Will this customer leave?
owner: customer-care
tier: secondary
data: {connection: production_db, query: churn/training.sql, key: customer, event_time: seen_at, target: left}
labels: {query: churn/labels.sql}
features: {numeric: [age, visits], categorical: [plan]}
objective: {task: binary_classification, metric: roc_auc, floor: 0.6}
"""
TRAINING_SQL = "SELECT * FROM customers WHERE seen_at >= :window_start AND seen_at < :window_end\n"


@dataclass(frozen=True)
class Project:
    """A folder that MODELOPS_HOME points to."""

    home: Path

    @property
    def settings(self) -> Settings:
        return load_settings({"MODELOPS_HOME": str(self.home), "MODELOPS_OVERLAY": str(self.home / "overlay")})

    @property
    def model_file(self) -> Path:
        return self.home / "include" / "models" / "churn.yaml"

    def write(self, text: str, *, name: str = "churn") -> None:
        (self.home / "include" / "models" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def overlay(self, text: str) -> None:
        (self.home / "overlay" / "churn.yaml").write_text(text, encoding="utf-8")

    def problems(self, text: str) -> list[str]:
        """Lines of the error that this YAML gives, without the head line and the file's folder."""
        self.write(text)
        with pytest.raises(SpecInvalidError) as caught:
            load_model("churn", settings=self.settings)
        return [line.replace("include/models/", "") for line in str(caught.value).splitlines()[1:]]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the valid model `churn`."""
    for folder in ("include/models", "include/sql/churn", "dags", "overlay"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "include/sql/churn/training.sql").write_text(TRAINING_SQL)
    (tmp_path / "include/sql/churn/labels.sql").write_text("SELECT 1\n")
    built = Project(tmp_path)
    built.write(CHURN)
    return built
