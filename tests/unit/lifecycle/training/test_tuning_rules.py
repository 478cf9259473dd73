"""Lint of the tuning's keys: each wrong value is named with file, line, what was got and what is allowed."""

from __future__ import annotations

import jsonschema
import pytest
import yaml

from include.lifecycle.loading import load_model
from include.lifecycle.spec_schema import build_schema
from tests.unit.lifecycle.conftest import CHURN, Project


@pytest.mark.parametrize(
    ("training", "told"),
    [
        (
            "search: {random_forst: {max_depth: 3}}",
            "search.random_forst: no algorithm 'random_forst'; did you mean 'random_forest'?",
        ),
        (
            "search: {random_forest: {max_dept: 3}}",
            "search.random_forest.max_dept: random_forest has no parameter 'max_dept'; did you",
        ),
        ("search: {random_forest: {max_depth: {low: 9, high: 3}}}", "max_depth.low: got 9; it must lie below high, 3"),
        ("search: {random_forest: {max_depth: {low: 0, high: 3}}}", "max_depth.low: got 0; allowed: a whole number from 1, null"),
        ("search: {random_forest: {max_depth: {low: 2.5}}}", "max_depth.low: got 2.5; allowed: a whole number from 1, null"),
        ("search: {random_forest: {max_depth: {lo: 3}}}", "max_depth.lo: unknown key; did you mean 'low'?"),
        ("search: {random_forest: {max_depth: []}}", "max_depth: an empty list leaves nothing to choose from"),
        ("search: {random_forest: {max_depth: [3, 0]}}", "max_depth[1]: got 0; allowed: a whole number from 1, null"),
        ("search: {random_forest: {max_depth: [3, 3]}}", "max_depth[1]: 3 is listed already"),
        (
            "search: {random_forest: {max_features: log}}",
            "max_features: got 'log'; allowed: a number above 0 to 1, sqrt, log2, null",
        ),
        ("search: {random_forest: {class_weight: {low: 1, high: 2}}}", "class_weight: takes no range; list what may be tried"),
        (
            "search: {random_forest: {ccp_alpha: {low: 0, high: 1, log: true}}}",
            "ccp_alpha.low: got 0; with log: true it must lie",
        ),
        ("folding: {kind: group}", "folding.kind: kind group needs group_by, the column that names the group"),
        ("folding: {group_by: region}", "folding.group_by: kind forward groups by nothing; leave group_by out"),
        ("folding: {kind: group, group_by: left}", "folding.group_by: 'left' is the target or the event time and no group"),
        ("folding: {kind: k_fold, gap: 2d}", "folding.gap: kind k_fold knows no time; only kind forward leaves a gap"),
        ("heartbeat: {interval: 500ms}", "heartbeat.interval: allowed: whole seconds, at least 1s"),
        ("heartbeat: {interval: 10s, grace: 15s}", "heartbeat.grace: got 15s; at least twice the interval"),
        ("pruning: {warmup_folds: 3}", "pruning.warmup_folds: got 3; of 3 folds none could stop a trial"),
        ("pruning: {kind: median_}", "pruning.kind: got 'median_'; allowed: median, hyperband, none"),
        ("stop_after_no_improvement: 0", "stop_after_no_improvement: got 0; allowed: at least 1"),
        (
            "method: incremental",
            "method: logistic_regression, hist_gradient_boosting cannot learn on from new rows alone; incremental",
        ),
        ("entry_point: train", "entry_point: got 'train'; allowed: package.module:function, such as"),
        ("entry_point: include.training.chrun:train", "entry_point: no module 'include.training.chrun' in this project"),
        ("entry_point: os.path:join", "entry_point: no module 'os.path' in this project"),
        (
            "entry_point: include.training.churn:trian",
            "entry_point: churn.py defines no function 'trian' at its top; did you mean 'train'?",
        ),
        ("entry_point: include.training.broken:train", "entry_point: broken.py is no readable Python"),
        ("{entry_point: include.training.churn:train, method: incremental}", "method: training.entry_point trains by itself"),
    ],
)
def test_wrong_values_are_named(project: Project, training: str, told: str):
    write_code(project)
    keys = training if training.startswith("{") else f"{{{training}}}"
    lines = project.problems(f"{CHURN}training: {keys}\n")
    assert any(f"training.{told}" in line for line in lines) or any(told in line for line in lines), lines
    assert all(line.startswith("churn.yaml:9:") for line in lines)


@pytest.mark.parametrize(
    "training",
    [
        "{search: {random_forest: {max_depth: {low: 3, high: 20}, max_features: [sqrt, 0.5], n_estimators: 100}}}",
        "{search: {logistic_regression: {class_weight: [balanced, null]}}}",
        "{search: {random_forest: {max_depth: {high: 20}}}}",
        "{folding: {kind: group, group_by: region}}",
        "{folding: {kind: forward, gap: 0s}}",
        "{folding: {kind: stratified}, pruning: {kind: hyperband}}",
        "{method: incremental, estimators: [random_forest]}",
        "{entry_point: include.training.churn:train}",
        "{stop_after_no_improvement: 5, warm_start: false, heartbeat: {interval: 1s, grace: 2s, retries: 0}}",
    ],
)
def test_right_values_load(project: Project, training: str):
    write_code(project)
    text = f"{CHURN}training: {training}\n"
    project.write(text)
    assert load_model("churn", settings=project.settings).name == "churn"
    jsonschema.validate(yaml.safe_load(text), build_schema(project.settings))  # editors must not mark it either


def test_a_regression_has_no_strata_and_no_classes_to_weigh(project: Project):
    text = CHURN.replace("binary_classification, metric: roc_auc, floor: 0.6", "regression, metric: rmse, floor: none")
    text += "training: {estimators: [random_forest], folding: {kind: stratified}, "
    text += "search: {random_forest: {class_weight: balanced}}}\n"
    lines = project.problems(text)
    assert any("folding.kind: a regression has no classes to stratify" in line for line in lines)
    assert any("class_weight: a regression has no classes to weigh" in line for line in lines)


def test_lint_never_imports_the_function(project: Project):
    write_code(project)
    (project.home / "include/training/churn.py").write_text("raise SystemExit('imported')\ndef train(inputs):\n    return None\n")
    project.write(f"{CHURN}training: {{entry_point: include.training.churn:train}}\n")
    assert load_model("churn", settings=project.settings).training.entry_point == "include.training.churn:train"


def write_code(project: Project) -> None:
    folder = project.home / "include" / "training"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "churn.py").write_text("def train(inputs):\n    return None\n")
    (folder / "broken.py").write_text("def train(inputs:\n")
