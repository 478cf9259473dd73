"""ModelSpec: frozen, strict, complete from the defaults; its digest covers the effective values."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from include.lifecycle.loading import load_model
from include.lifecycle.spec import ModelSpec
from tests.unit.lifecycle.conftest import CHURN


@pytest.fixture
def spec(project) -> ModelSpec:
    return load_model("churn", settings=project.settings)


def test_the_smallest_file_takes_the_documents_defaults(spec):
    assert spec.risk == "medium"
    assert spec.data.max_rows == 1_000_000
    assert spec.data.window.days == 182
    assert [step.percent for step in spec.rollout.steps] == [10, 25, 50]
    assert (spec.rollout.limits.error_rate, spec.rollout.limits.latency_ratio) == (0.10, 2.0)
    assert (spec.monitoring.drift.minimum_effect, spec.monitoring.drift.act_effect) == (0.1, 0.3)
    assert (spec.monitoring.drift.numeric, spec.monitoring.drift.categorical) == ("wasserstein", "jensen_shannon")
    assert spec.retention.keep_versions == 10


def test_nothing_can_be_changed_afterwards(spec):
    with pytest.raises(ValidationError, match="frozen"):
        spec.risk = "low"


def test_survives_json(spec):
    text = json.dumps(spec.model_dump(mode="json"))
    again = ModelSpec.model_validate(json.loads(text))
    assert again == spec
    assert again.digest == spec.digest


def test_digest_covers_effective_values_only(project, spec):
    project.write(f"# a comment\n{CHURN}data2: 1\n".replace("data2: 1", "risk: medium"))
    assert load_model("churn", settings=project.settings).digest == spec.digest
    project.overlay("rollout: {bake: 5s}\n")
    assert load_model("churn", settings=project.settings).digest != spec.digest


def test_a_duration_in_other_words_is_the_same_spec(project, spec):
    project.write(f"{CHURN}rollout: {{bake: 1440m}}\n")
    assert load_model("churn", settings=project.settings).digest == spec.digest


def test_watched_leaves_ignored_columns_out(project):
    project.write(f"{CHURN}columns: {{age: {{drift: ignore}}}}\n")
    found = load_model("churn", settings=project.settings)
    assert found.features.all == ["age", "visits", "plan"]
    assert found.watched == ["visits", "plan"]
    assert found.columns["age"].pii == "keep"
