"""Columns that stand for population or equipment: their drift is of their own kind; and the rules on who may have a role."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from include.lifecycle.monitoring.drift import check_drift
from include.lifecycle.monitoring.inputs.novelty import check_novelty
from include.lifecycle.monitoring.inputs.roles import drift_kind
from include.lifecycle.monitoring.kinds import column_of, kind_of
from include.lifecycle.rules.inputs import RULES
from include.lifecycle.rules.view import View
from tests.unit.lifecycle.monitoring.examples import START, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)
PLAIN = {"drift": "watch", "pii": "keep", "max_missing": None, "outliers": "watch"}


def with_role(column, role):
    spec = make_spec()
    return make_spec(columns={column: PLAIN | {name: None for name in type_fields(spec) if name not in PLAIN} | {"role": role}})


def type_fields(spec):
    from include.lifecycle.spec import ColumnSection

    return ColumnSection.model_fields


@pytest.mark.parametrize("role", ["population", "equipment"])
def test_its_drift_and_its_new_values_are_of_its_own_kind(profile, role):
    spec = with_role("city", role)
    frame, honest = make_table(4, start=LIVE, per_day=300, seed=21)
    live = as_predictions(frame.assign(city="Paris"), honest, days=4, start=LIVE)
    failed = {
        verdict.check for verdict in [*check_drift(spec, profile, live), *check_novelty(spec, profile, live)] if verdict.failed
    }
    assert failed == {f"{role}:city", f"{role}:city:novelty"}
    assert {kind_of(check).name for check in failed} == {role}
    assert {column_of(check) for check in failed} == {"city"}
    assert drift_kind(spec, "wind") == "covariate"


def broken(columns):
    data = {"features": {"numeric": ["wind"], "categorical": ["scanner"]}, "columns": columns}
    return [text for rule in RULES for _, text in rule(View("rain", data, Path()))]


def test_a_role_is_for_watched_features_only():
    assert broken({"scanner": {"role": "equipment", "drift": "watch"}, "wind": {"role": None}}) == []
    assert "is no feature" in broken({"ward": {"role": "population", "drift": "watch"}})[0]
    assert "is ignored" in broken({"scanner": {"role": "equipment", "drift": "ignore"}})[0]
