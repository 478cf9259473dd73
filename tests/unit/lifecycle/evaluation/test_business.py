"""The business metric: expression or function, floor and margin, mean and total, either direction."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.evaluation.business import business_comparison, business_floor, business_function, business_values
from include.lifecycle.evaluation.sample import sample_of
from tests.unit.lifecycle.evaluation.cases import spec_of, trips

FRAME, P = trips(30, 100)
GAIN = "CASE WHEN decision = 1 AND label = 1 THEN 10.0 WHEN decision = 1 THEN -4.0 ELSE 0 END"
VALUE = np.where(P >= 0.5, np.where(FRAME["late"] == 1, 10.0, -4.0), 0.0)


def judge(p=P, **business):
    spec = spec_of(business={"expression": GAIN, **business})
    return business_floor(spec, sample_of(spec, FRAME), FRAME, p)


@pytest.mark.parametrize(
    ("floor", "outcome"), [(VALUE.mean() / 2, "pass"), (VALUE.mean(), "inconclusive"), (VALUE.mean() * 2, "fail")]
)
def test_floor_of_the_mean(floor: float, outcome: str) -> None:
    (found,) = judge(floor=float(floor))
    assert found.outcome == outcome, found.reason
    assert found.evidence["estimate"] == pytest.approx(VALUE.mean(), abs=1e-6)
    assert found.evidence["lower"] < found.evidence["estimate"] < found.evidence["upper"]


def test_total_and_costs() -> None:
    (found,) = judge(floor=float(VALUE.sum() / 2), aggregate="total")
    assert (found.outcome, found.evidence["estimate"]) == ("pass", pytest.approx(VALUE.sum()))
    (cheap,) = judge(expression="CASE WHEN decision = label THEN 0 ELSE 1 END", direction="lower", floor=0.9)
    assert cheap.outcome == "pass"
    (dear,) = judge(expression="CASE WHEN decision = label THEN 0 ELSE 1 END", direction="lower", floor=0.01)
    assert dear.outcome == "fail"


def test_not_worse_than_the_champion_on_the_same_rows() -> None:
    spec = spec_of(business={"expression": GAIN, "margin": 0.2})
    sample, noise = sample_of(spec, FRAME), np.random.default_rng(2).random(len(P))
    (same,) = business_comparison(spec, sample, FRAME, P, P, 3)
    assert (same.outcome, same.evidence["upper"]) == ("pass", 0.0)
    (worse,) = business_comparison(spec, sample, FRAME, noise, P, 3)
    assert worse.outcome == "fail"
    assert "version 3" in worse.reason


def test_too_few_rows_are_inconclusive() -> None:
    spec = spec_of(business={"expression": GAIN, "floor": 0.0}, minimum_rows=10_000)
    (found,) = business_floor(spec, sample_of(spec, FRAME), FRAME, P)
    assert found.outcome == "inconclusive"


def test_a_function_below_include_with_its_digest() -> None:
    spec = spec_of(business={"function": "serving.version_folder:read_spec", "floor": 0.0})
    function, digest = business_function(spec)
    file = sys.modules["include.serving.version_folder"].__file__
    assert function.__name__ == "read_spec"
    assert digest == hashlib.sha256(open(file, "rb").read()).hexdigest()  # noqa: PTH123, SIM115
    for named in ("os:getcwd", "serving.version_folder:nothing", "..tests.conftest:x", "serving.missing:f"):
        with pytest.raises(SpecInvalidError, match=r"evaluation\.business\.function"):
            business_function(spec_of(business={"function": named, "floor": 0.0}))


def test_a_function_must_answer_per_row() -> None:
    spec = spec_of(business={"function": "lifecycle.units:parse_duration", "floor": 0.0})
    with pytest.raises(SpecInvalidError, match="failed: ValueError"):
        business_values(spec, FRAME, FRAME["late"].to_numpy(float), P)
