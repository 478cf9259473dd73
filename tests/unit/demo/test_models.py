"""The demo's two models: what their YAML promises about leaks, and what the overlay may touch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.lifecycle.loading import load_model
from include.settings import PROJECT_ROOT, load_settings

LEAKS = {"dep_time", "dep_delay", "arr_time", "air_time", "arr_delay", "arrival_delay", "known_at"}
OVERLAY = PROJECT_ROOT / "include" / "demo" / "overlay"
MODELS = ["flight_delay", "health_visits"]


def sql(model: str) -> str:
    text = (PROJECT_ROOT / "include" / "sql" / model / "training.sql").read_text(encoding="utf-8")
    return re.sub(r"--.*", "", text)


def overlay_files() -> list[Path]:
    return sorted(OVERLAY.glob("*.yaml"))


@pytest.mark.parametrize("model", MODELS)
def test_models_load_with_and_without_the_overlay(model: str):
    plain = load_model(model, settings=load_settings({}))
    overlaid = load_model(model, settings=load_settings({"MODELOPS_OVERLAY": str(OVERLAY)}))
    assert plain.features == overlaid.features


def test_no_feature_of_the_main_model_leaks():
    spec = load_model("flight_delay", settings=load_settings({}))
    assert not LEAKS & set(spec.features.all)
    selected = sql("flight_delay").partition("FROM")[0]
    columns = set(re.findall(r"\b\w+\b", selected.rpartition("CAST")[0]))
    assert not LEAKS & columns


def test_leaking_columns_are_named_where_people_look():
    for file in ("include/models/flight_delay.yaml", "include/sql/flight_delay/training.sql", "docs/demo.md"):
        text = (PROJECT_ROOT / file).read_text(encoding="utf-8")
        assert {"dep_time", "dep_delay", "arr_time", "air_time"} <= set(re.findall(r"\w+", text)), file


def test_calendar_columns_are_out_of_drift():
    spec = load_model("flight_delay", settings=load_settings({}))
    assert {"hour", "day_of_week", "departures_that_hour"}.isdisjoint(spec.watched)


def test_second_model_keeps_its_protected_attribute_out_of_the_features():
    spec = load_model("health_visits", settings=load_settings({}))
    assert spec.evaluation.fairness.attributes == ["female"]
    assert "female" not in spec.features.all
    assert (spec.tier, spec.risk) == ("secondary", "medium")


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


@pytest.mark.parametrize("file", overlay_files(), ids=lambda file: file.stem)
def test_overlay_holds_intervals_and_small_numbers_only(file: Path):
    allowed = {
        "data": {"max_rows", "new_rows_threshold"},
        "training": {"estimators", "trials", "workers", "folds", "tuning_rows"},
        "evaluation": {"margin", "minimum_rows", "on_inconclusive"},
        "rollout": {"steps", "limits", "give_up_after", "bake", "poll"},
        "monitoring": {"window", "minimum_rows", "minimum_labels", "report_rows", "performance"},
        "retraining": {"cooldown", "confirm", "max_age"},
        "retention": {"keep_versions", "retire_after"},
    }
    for path in leaves(yaml.safe_load(file.read_text(encoding="utf-8"))):
        assert path[1] in allowed[path[0]], f"{'.'.join(path)} is no matter of pace"


@pytest.mark.parametrize("file", overlay_files(), ids=lambda file: file.stem)
def test_every_key_of_the_overlay_is_explained(file: Path):
    lines = file.read_text(encoding="utf-8").splitlines()
    for path in leaves(yaml.safe_load("\n".join(lines))):
        key = next(key for key in reversed(path) if any(re.match(rf"\s*{key}:", line) for line in lines))
        at = next(index for index, line in enumerate(lines) if re.match(rf"\s*{key}:", line))
        assert any("#" in line for line in lines[at : at + 2]), f"{'.'.join(path)} has no comment"
