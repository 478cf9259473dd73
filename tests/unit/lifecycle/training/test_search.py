"""Search spaces from the YAML: ranges, choices, kept values; the champion's point; what a study asks and remembers."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.parameters import PARAMETERS
from include.lifecycle.training.search import champion_point, chosen, space_of, start_of, starting_points, suggest
from tests.unit.lifecycle.training.spec_for_tests import make_spec


def only(family: str, **search: object) -> ModelSpec:
    return make_spec(training={"estimators": [family], "search": {family: search}})


@pytest.mark.parametrize("family", sorted(PARAMETERS))
def test_the_defaults_are_known_and_start_within_their_bounds(family: str):
    space = space_of(make_spec().training, family)
    assert space
    assert set(space) <= set(PARAMETERS[family])
    for name, dimension in space.items():
        assert dimension.low <= dimension.start <= dimension.high
        assert PARAMETERS[family][name].takes(dimension.start)
        assert isinstance(dimension.start, int) == (PARAMETERS[family][name].kind == "int")


def test_a_range_is_laid_over_the_default_and_its_start_drawn_in():
    space = space_of(only("random_forest", max_depth={"low": 3, "high": 6}).training, "random_forest")
    assert (space["max_depth"].low, space["max_depth"].high, space["max_depth"].start) == (3, 6, 6)
    assert space["n_estimators"].start == 80


def test_a_parameter_without_a_start_begins_in_the_middle():
    space = space_of(only("random_forest", max_leaf_nodes={"low": 10, "high": 1000, "log": True}).training, "random_forest")
    assert space["max_leaf_nodes"].start == 100
    assert space_of(only("random_forest", max_samples={"low": 0.2, "high": 0.8}).training, "random_forest")[
        "max_samples"
    ].start == pytest.approx(0.5)


def test_choices_and_kept_values_are_asked_and_remembered():
    spec = only("random_forest", max_depth=[4, None], max_features="sqrt", class_weight=["balanced"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for point in starting_points(spec.training):
        study.enqueue_trial(point)
    seen = []
    for number in range(12):
        trial = study.ask()
        algorithm, params = suggest(trial, spec.training)
        study.tell(trial, float(number))
        seen.append(params)
        assert (algorithm, params) == chosen(study.trials[-1], spec.training)
    assert seen[0] == start_of(spec.training, "random_forest")
    assert {params["max_depth"] for params in seen} == {4, None}
    assert {(params["max_features"], params["class_weight"]) for params in seen} == {("sqrt", "balanced")}
    assert "random_forest__max_features" not in study.trials[0].params


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "n_estimators": st.one_of(st.integers(-10, 10_000), st.floats(allow_nan=True), st.text(max_size=3)),
            "max_depth": st.one_of(st.none(), st.integers(0, 100)),
            "min_samples_leaf": st.integers(0, 500),
            "max_features": st.floats(-1, 2),
            "criterion": st.just("gini"),
        },
    )
)
def test_whatever_a_champion_was_trained_with_its_point_lies_in_the_space(params: dict[str, object]):
    training = make_spec().training
    point, changed = champion_point(training, "random_forest", params)
    assert point is not None
    for name, dimension in space_of(training, "random_forest").items():
        value = point[f"random_forest__{name}"]
        assert dimension.low <= value <= dimension.high
        if name in params and params[name] != value:
            assert any(said.startswith(f"{name} ") for said in changed)


def test_a_champion_of_another_family_gives_no_point():
    point, why = champion_point(
        make_spec().training, "lightgbm" if "lightgbm" not in make_spec().training.estimators else "x", {}
    )
    assert point is None
    assert "is not among training.estimators" in why[0]


def test_a_champion_inside_is_taken_as_it_is():
    training = only("hist_gradient_boosting").training
    params = start_of(training, "hist_gradient_boosting") | {"max_iter": 123, "learning_rate": 0.031}
    point, changed = champion_point(training, "hist_gradient_boosting", params)
    assert changed == []
    assert point is not None
    assert (point["hist_gradient_boosting__max_iter"], point["hist_gradient_boosting__learning_rate"]) == (123, 0.031)
