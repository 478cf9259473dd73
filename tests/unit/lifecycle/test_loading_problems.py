"""Golden texts: what a person reads when a model's YAML is wrong. Every line: file, line, column, key, got, allowed."""

from __future__ import annotations

import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model
from tests.unit.lifecycle.conftest import CHURN

SEVERAL = """\
name: chrn
owner: customer-care
teir: secondary
risk: high
data:
  connection: production_db
  query: churn/trainin.sql
  key: customer
  event_time: seen_at
  target: left
  window: 30
  max_rows: "1000"
labels: {query: churn/labels.sql}
features: {numeric: [age, customer], categorical: [plan, age], window: 3d}
objective: {task: binary_classification, metric: rmse}
training: {method: incremental, workers: 0, estimators: [lightgbm, foo]}
retraining: {mode: off, confirm: {windows: 7}}
risk: low
"""
SEVERAL_TOLD = [
    "churn.yaml:1:1: tier: missing, and it is required (primary: trained weekly, Sunday 02:00 UTC; secondary: monthly, on the "
    "first day, 02:00 UTC)",
    "churn.yaml:1:7: name: got 'chrn'; it must equal the file's name, 'churn'",
    "churn.yaml:3:1: teir: unknown key; did you mean 'tier'?",
    "churn.yaml:7:10: data.query: no such file: include/sql/churn/trainin.sql; did you mean 'churn/training.sql'?",
    "churn.yaml:11:11: data.window: 30 is no duration: write a number and a unit of ms, s, m, h, d or w, such as 24h",
    "churn.yaml:12:13: data.max_rows: got '1000'; allowed: a whole number",
    "churn.yaml:14:27: features.numeric[1]: 'customer' is data.key and cannot be a feature",
    "churn.yaml:14:58: features.categorical[1]: 'age' is a feature already, in features.numeric",
    "churn.yaml:14:64: features.window: unknown key here; did you mean data.window or monitoring.window or retraining.window?",
    "churn.yaml:15:1: objective.floor: missing, and it is required (a version on the wrong side of this value of the metric "
    "(below a score, above an error) is never rolled out; none: no floor is wanted)",
    "churn.yaml:15:50: objective.metric: 'rmse' does not measure binary_classification; allowed: accuracy, average_precision, "
    "brier_score, f1, log_loss, roc_auc",
    "churn.yaml:16:42: training.workers: got 0; allowed: at least 1",
    "churn.yaml:16:68: training.estimators[1]: got 'foo'; allowed: logistic_regression, random_forest, hist_gradient_boosting, "
    "lightgbm, linear_regression",
    "churn.yaml:17:44: retraining.confirm.windows: got 7; it must not be above retraining.confirm.of, 5",
    "churn.yaml:18:1: risk: duplicate key; it stands in line 4 already",
]


def test_all_problems_are_told_at_once(project):
    assert project.problems(SEVERAL) == SEVERAL_TOLD


def test_no_model_has_the_name_of_the_platform_s_alerts(project):
    project.write(CHURN.replace("churn", "platform"), name="platform")
    with pytest.raises(SpecInvalidError, match="alerts about no model have this name"):
        load_model("platform", settings=project.settings)


def test_the_head_line_names_model_and_count(project):
    project.write(SEVERAL)
    with pytest.raises(SpecInvalidError, match=f"^churn: {len(SEVERAL_TOLD)} problems\n"):
        load_model("churn", settings=project.settings)


NOT_YET = [
    ("serving: batch", "serving: 'batch' is not available yet; allowed now: online"),
]


@pytest.mark.parametrize(("line", "told"), NOT_YET)
def test_what_does_not_exist_yet_is_refused_by_name(project, line, told):
    (problem,) = project.problems(f"{CHURN}{line}\n")
    assert problem.startswith("churn.yaml:9:")
    assert problem.partition(": ")[2] == told


@pytest.mark.parametrize("line", ["retraining: {max_age: 720h}", "retraining: {mode: off}", "rollout: {on_inconclusive: hold}"])
def test_the_default_in_other_words_and_what_exists_pass(project, line):
    project.write(f"{CHURN}{line}\n")
    load_model("churn", settings=project.settings)


WRONG = [
    ("objective: {floor: high}", "objective.floor: got 'high'; allowed: a number or none"),
    ("objective: {floor: ~}", "objective.floor: got null; allowed: a number or none"),
    ("objective: {floor: 60}", "objective.floor: got 60; roc_auc lies between 0 and 1"),
    ("objective: {threshold: 0}", "objective.threshold: got 0; allowed: more than 0"),
    ("objective: {threshold: 1}", "objective.threshold: got 1; allowed: less than 1"),
    ("objective: {threshold: '0.3'}", "objective.threshold: got '0.3'; allowed: a number"),
    ("objective: {threshold: true}", "objective.threshold: got true; allowed: a number"),
    ("rollout: 3", "rollout: got 3; allowed: a mapping"),
    ("rollout: {steps: []}", "rollout.steps: got []; allowed: at least 1 entry"),
    (
        "rollout: {bake: 5 minutes}",
        "rollout.bake: '5 minutes' is no duration: write a number and a unit of ms, s, m, h, d or w, such as 24h",
    ),
    ("rollout: {poll: 0s}", "rollout.poll: 0s is too short; it must be longer than 0s"),
    ("rollout: {poll: 5m}", "rollout.poll: got 5m; it must not be above rollout.lease, 60s"),
    (
        "rollout: {strategy: rolling}",
        "rollout.strategy: 'rolling' goes server by server, and server.replicas is 1; have at least 2, or choose blue_green",
    ),
    (
        "rollout: {give_up_after: 15m}",
        "rollout.give_up_after: got 15m, but the stages wait 15m at least, so every rollout would be given up",
    ),
    (
        "rollout: {strategy: rolling, give_up_after: 20m, rolling: {at_least: 10m}}\nserver: {replicas: 3}",
        "rollout.give_up_after: got 20m, but the stages wait 20m at least, so every rollout would be given up",
    ),
    (
        "rollout: {strategy: direct, metrics: [{name: aa, query: x, limit: 1}, {name: bb, query: x, limit: 1, required: true}]}",
        "rollout.metrics[1].required: got true, but 'direct' has no stage that could wait for it; "
        "remove it (a broken limit still sends back)",
    ),
    (
        "rollout: {strategy: blue_green, blue_green: {mirror: 0}, metrics: [{name: bb, query: x, limit: 1, required: true}]}",
        "rollout.metrics[0].required: got true, but 'blue_green' with rollout.blue_green.mirror 0 has no stage that could wait "
        "for it; remove it (a broken limit still sends back)",
    ),
    ("rollout: {limits: {error_rate: 10}}", "rollout.limits.error_rate: got 10; allowed: at most 1"),
    (
        "rollout: {strategy: bluegreen}",
        "rollout.strategy: got 'bluegreen'; allowed: canary, blue_green, rolling, shadow, ab_test, direct",
    ),
    ("rollout: {ab_test: {split: 0.6}}", "rollout.ab_test.split: got 0.6; allowed: at most 0.5"),
    ("rollout: {ab_test: {split: 0.001}}", "rollout.ab_test.split: got 0.001; allowed: at least 0.01"),
    ("rollout: {ab_test: {alpha: 0.5}}", "rollout.ab_test.alpha: got 0.5; allowed: less than 0.5"),
    ("rollout: {ab_test: {minimum_samples: 0}}", "rollout.ab_test.minimum_samples: got 0; allowed: at least 1"),
    ("rollout: {shadow: {mirror: 0}}", "rollout.shadow.mirror: got 0; allowed: at least 1"),
    (
        "rollout: {ab_test: {metric: business}}",
        "rollout.ab_test.metric: got 'business', and rollout.ab_test.business.query, whose values decide, is null",
    ),
    (
        "rollout: {ab_test: {business: {query: churn/revenu.sql}}}",
        "rollout.ab_test.business.query: no such file: include/sql/churn/revenu.sql; did you mean 'churn/training.sql'?",
    ),
    (
        "rollout: {ab_test: {business: {query: ../revenue.sql}}}",
        "rollout.ab_test.business.query: got '../revenue.sql'; allowed: a path below include/sql",
    ),
    (
        "rollout: {ab_test: {at_least: 30d}}",
        "rollout.ab_test.at_least: got 30d; it must not be above rollout.ab_test.at_most, 28d",
    ),
    ("training: {trials: true}", "training.trials: got true; allowed: a whole number"),
    ("training: {trials: 2.5}", "training.trials: got 2.5; allowed: a whole number"),
    ("training: {seeds: 3}", "training.seeds: unknown key; did you mean 'seed'?"),
    ("training: {estimators: [random_forest, random_forest]}", "training.estimators[1]: 'random_forest' is listed already"),
    ("columns: {agee: {drift: ignore}}", "columns.agee: 'agee' is no column of this model; did you mean 'age'?"),
    ("columns: {'*': {drift: ignore}}", "columns.*: '*' is no column of this model"),
    ("columns: {age: {drfit: ignore}}", "columns.age.drfit: unknown key; did you mean 'drift'?"),
    (
        "evaluation: {fairness: {attributes: [left]}}",
        "evaluation.fairness.attributes[0]: 'left' is data.target and forms no groups",
    ),
    (
        "evaluation: {fairness: {intersections: [[plan, left]]}}",
        "evaluation.fairness.intersections[0][1]: 'left' is data.target and forms no groups",
    ),
    (
        "evaluation: {floors: {acuracy: 0.8}}",
        "evaluation.floors.acuracy: 'acuracy' is no metric of binary_classification; did you mean 'accuracy'?; allowed: "
        "roc_auc, average_precision, brier_score, log_loss, accuracy, precision, recall, f1, calibration_error",
    ),
    ("evaluation: {entity: plan}", "evaluation.entity: is read only when evaluation.resample_by is entity"),
    (
        "evaluation: {business: {expression: age, function: 'a:b', floor: 1}}",
        "evaluation.business.function: stands beside evaluation.business.expression; one of both is allowed",
    ),
    ("evaluation: {business: {expression: age}}", "evaluation.business: asks for nothing; set floor, margin or both"),
    ("evaluation: {business: {margin: 1}}", "evaluation.business.margin: needs evaluation.business.expression or .function"),
    (
        "evaluation: {business: {function: nocolon, floor: 1}}",
        "evaluation.business.function: got 'nocolon'; it is module:function, such as features.churn:cost",
    ),
    (
        "evaluation: {slices: [{name: a1, where: age > 1}, {name: a1, where: age > 2}]}",
        "evaluation.slices: 2 slices are called 'a1'; names must differ",
    ),
    (
        "monitoring: {performance: {warn: 0.5}}",
        "monitoring.performance.warn: got 0.5; it must not be above monitoring.performance.act, 0.05",
    ),
    (
        "rollout: {steps: [{percent: 20, at_least: 1m, requests: 1}, {percent: 10, at_least: 1m, requests: 1}]}",
        "rollout.steps: steps must rise strictly; got percents [20, 10]",
    ),
    (
        "rollout: {steps: [{percent: 20, at_least: 1m}]}",
        "rollout.steps[0].requests: missing, and it is required (requests of the canary that the step needs at least)",
    ),
]


@pytest.mark.parametrize(("line", "told"), WRONG)
def test_wrong_values(project, line, told):
    project.overlay(f"{line}\n")
    (problem,) = project.problems(CHURN)
    assert problem.startswith("overlay/churn.yaml:1:")
    assert problem.partition(": ")[2] == told


BROKEN = [
    ("name: [a", "churn.yaml:2:1: not valid YAML: did not find expected ',' or ']'"),
    ("name: churn\n\tx: 1", "churn.yaml:2:1: not valid YAML: found a tab character that violates indentation"),
    ("- a\n- b", "churn.yaml:1:1: the file must hold a mapping of keys"),
    ("name: churn\n---\nname: churn", "churn.yaml:2:1: not valid YAML: but found another document"),
    (
        "name: !!python/name:os.system x",
        "churn.yaml:1:7: name: not valid YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/name:os.system'",
    ),
    ("a: &a {b: *a}", "churn.yaml:1:4: a.b: an alias must not contain itself"),
]


@pytest.mark.parametrize(("text", "told"), BROKEN)
def test_broken_yaml_is_told_with_its_place(project, text, told):
    assert told in project.problems(text)


def test_a_syntax_error_is_told_alone(project):
    assert len(project.problems("name: [a")) == 1


def test_a_file_that_is_no_text(project):
    project.model_file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecInvalidError, match=r"churn.yaml:1:1: cannot be read: .*can't decode"):
        load_model("churn", settings=project.settings)


def test_an_empty_file_lacks_what_is_required(project):
    told = project.problems("")
    required = ["name", "owner", "tier", "data.key", "data.event_time", "data.target"]
    required += ["objective.task", "objective.metric", "objective.floor"]
    assert [line.split(": ")[1] for line in told if "missing, and it is required" in line] == required
    assert any("data: no source of rows; give either query (with connection) or dataset" in line for line in told)
    assert all(line.startswith(("churn.yaml:1:1: ", "_defaults.yaml")) for line in told)


def test_sql_must_lie_below_its_folder_and_bind_the_window(project):
    (told,) = project.problems(CHURN.replace("churn/labels.sql", "../labels.sql"))
    assert told.endswith("labels.query: got '../labels.sql'; allowed: a path below include/sql")
    (project.home / "include/sql/churn/training.sql").write_text("SELECT * FROM x WHERE t >= :window_start")
    (told,) = project.problems(CHURN)
    assert told.endswith("include/sql/churn/training.sql does not use :window_end; it would read beyond its window")


@pytest.mark.parametrize("item", ["{column: age}", "{expect_x: {}, expect_y: {}}", "{}", "{expect_x: 3}"])
def test_an_expectation_has_one_name_and_arguments(project, item):
    (told,) = project.problems(CHURN.replace("target: left}", f"target: left, expectations: [{item}]}}"))
    assert "data.expectations[0]: got " in told
    assert "allowed: one expectation with its arguments" in told
