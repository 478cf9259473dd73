"""A ModelSpec and synthetic source tables for the tests of the data and training stages."""

from __future__ import annotations

from typing import Any

import yaml

from include.lifecycle.spec import ModelSpec
from include.settings import PROJECT_ROOT


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        merged[key] = merge(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
    return merged


DECLARED: dict[str, Any] = {
    "name": "trips",
    "owner": "tests",
    "tier": "primary",
    "risk": "low",
    "data": {
        "connection": "production_db",
        "query": "trips/training.sql",
        "key": "trip_id",
        "event_time": "starts_at",
        "target": "late",
    },
    "labels": {"query": "trips/labels.sql", "mature_after": "24h"},
    "features": {"numeric": ["distance", "wind"], "categorical": ["carrier", "hour"]},
    "objective": {"task": "binary_classification", "metric": "roc_auc", "floor": 0.55},
    "training": {"trials": 4, "workers": 2},
}


def make_spec(**over: Any) -> ModelSpec:
    """The defaults, the small model above, and what a test changes in it."""
    defaults = yaml.safe_load((PROJECT_ROOT / "include" / "models" / "_defaults.yaml").read_text())
    return ModelSpec.model_validate(merge(merge(defaults, DECLARED), over))
