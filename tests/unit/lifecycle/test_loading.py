"""Loading: layers merge with origins, one broken model hurts no other, and it stays quick and light."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_all, load_model, model_names, read_model
from include.lifecycle.origins import Node, Origin, merge, plain, read_yaml
from include.settings import PROJECT_ROOT
from tests.unit.lifecycle.conftest import CHURN

SCALARS = st.one_of(st.integers(), st.booleans(), st.text(max_size=3))
TREES = st.recursive(
    SCALARS | st.lists(SCALARS, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
MAPPINGS = st.dictionaries(st.sampled_from("abcd"), TREES, max_size=4)


def node(data, line=1) -> Node:
    origin = Origin(PROJECT_ROOT, line, 1, "model")
    if isinstance(data, dict):
        return Node({name: node(child, line) for name, child in data.items()}, origin)
    if isinstance(data, list):
        return Node([node(child, line) for child in data], origin)
    return Node(data, origin)


def merged(lower, upper):
    """The rule in plain words: mappings deep, everything else replaced."""
    if not (isinstance(lower, dict) and isinstance(upper, dict)):
        return upper
    return {
        name: merged(lower[name], upper[name]) if name in lower and name in upper else {**lower, **upper}[name]
        for name in lower | upper
    }


@given(MAPPINGS, MAPPINGS)
def test_merging_is_deep_for_mappings_and_replaces_the_rest(lower, upper):
    assert plain(merge(node(lower), node(upper))) == merged(lower, upper)


@given(MAPPINGS)
def test_merging_with_nothing_or_itself_changes_nothing(data):
    assert plain(merge(node(data), node({}))) == data
    assert plain(merge(node({}), node(data))) == data
    assert plain(merge(node(data), node(data))) == data


@given(MAPPINGS, MAPPINGS, MAPPINGS)
def test_the_last_layer_wins_whatever_lies_between(one, two, three):
    result = plain(merge(merge(node(one), node(two)), node(three)))
    assert all(result[name] == value for name, value in three.items() if not isinstance(value, dict))


@given(MAPPINGS, MAPPINGS)
def test_each_value_keeps_the_line_of_its_layer(lower, upper):
    result = merge(node(lower, line=1), node(upper, line=2))
    for name, child in result.value.items():
        assert child.origin.line == (2 if name in upper else 1)


def test_layers_and_origins(project):
    project.write(f"{CHURN}rollout:\n  bake: 2h\n")
    project.overlay("# demo\nrollout: {bake: 5s, steps: [{percent: 5, at_least: 1s, requests: 1}]}\n")
    loaded = read_model("churn", settings=project.settings)
    assert loaded.spec.rollout.bake.total_seconds() == 5
    assert [step.percent for step in loaded.spec.rollout.steps] == [5]
    assert loaded.spec.rollout.give_up_after.days == 1
    bake, owner, patience = (loaded.origin(path) for path in (("rollout", "bake"), ("owner",), ("rollout", "give_up_after")))
    assert (bake.layer, bake.shown(project.home)) == ("overlay", "overlay/churn.yaml:2:17")
    assert (owner.layer, owner.shown(project.home)) == ("model", "include/models/churn.yaml:3:8")
    assert patience.layer == "default"


def test_a_changed_file_is_read_again(project):
    assert load_model("churn", settings=project.settings).owner == "customer-care"
    project.write(CHURN.replace("customer-care", "somebody-else"))
    assert load_model("churn", settings=project.settings).owner == "somebody-else"


def test_one_broken_model_takes_only_itself_out(project):
    project.write("name: [", name="broken")
    project.write("", name="_draft")
    assert model_names(settings=project.settings) == ["broken", "churn"]
    models = load_all(settings=project.settings)
    assert list(models) == ["churn"]
    assert list(models.broken) == ["broken"]
    assert isinstance(models.broken["broken"], SpecInvalidError)


def test_an_unknown_model_is_named_with_the_nearest(project):
    with pytest.raises(SpecInvalidError, match=r"no model 'chrun': .*chrun.yaml does not exist; did you mean 'churn'\?"):
        load_model("chrun", settings=project.settings)


def test_words_of_yaml_1_1_stay_words(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("a: off\nb: no\nc: 12:30\nd: 2013-08-01\ne: 007\nf: 1_000\ng: 1e-2\nh: true\ni: ~\nj: 0x1F\nk: .5\nl: -3\n")
    found, problems = read_yaml(file, "model")
    assert problems == []
    expected = ["off", "no", "12:30", "2013-08-01", "007", 1000, 0.01, True, None, "0x1F", 0.5, -3]
    assert list(plain(found).values()) == expected


def test_anchors_and_merge_keys_work(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("base: &base {a: 1, b: 2}\nuse: {<<: *base, b: 3}\n")
    found, problems = read_yaml(file, "model")
    assert problems == []
    assert plain(found)["use"] == {"a": 1, "b": 3}


@given(st.text(alphabet="ab:-[]{}&*!#|>'\"\n ,~<%@`?\t\\0", max_size=40))
def test_no_text_at_all_breaks_the_reader(tmp_path_factory, text):
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text)
    found, problems = read_yaml(file, "model")
    assert isinstance(found.value, dict)
    assert all(problem.origin.line >= 1 for problem in problems)


def test_the_models_of_this_project_are_valid():
    models = load_all()
    assert models.broken == {}


def test_loading_is_quick(project):
    load_model("churn", settings=project.settings)
    started = time.process_time()
    for number in range(20):
        project.write(CHURN.replace("customer-care", f"owner-{number}"))
        load_model("churn", settings=project.settings)
    assert (time.process_time() - started) / 20 < 0.030


def test_loading_imports_nothing_heavy():
    code = (
        "import sys, include.lifecycle.loading as l; l.load_all();"
        "heavy = {'pandas', 'numpy', 'sqlalchemy', 'sklearn', 'mlflow', 'airflow', 'optuna', 'httpx'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT_ROOT)


def test_an_overlay_folder_that_is_none_is_not_ignored(project):
    (project.home / "overlay").rmdir()
    with pytest.raises(SpecInvalidError, match=r"MODELOPS_OVERLAY is .*overlay; allowed: a folder that exists"):
        load_model("churn", settings=project.settings)
