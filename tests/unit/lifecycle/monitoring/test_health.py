"""The health score as its formula says, whatever was found: in bounds, the mean of its parts, never up by a failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.monitoring.health import WEIGHTS, band, health_of
from include.lifecycle.monitoring.kinds import COVARIATE, DATA_FAULT, DECAY, PREDICTION_DRIFT
from include.lifecycle.verdicts import Outcome, Verdict
from tests.unit.lifecycle.monitoring.examples import make_spec

SPEC = make_spec()
OUTCOMES = st.sampled_from(Outcome)
NUMBERS = st.floats(0, 2)


def verdict(check, outcome, **evidence):
    return Verdict(check=check, outcome=outcome, reason="", evidence=evidence)


def gap(effect, usual, lower=None):
    """Evidence of the calibration's verdict."""
    lower = effect / 2 if lower is None else lower
    return {"effect": effect, "lower": lower, "usual": usual, "threshold": 0.05, "measure": "calibration_gap"}


@st.composite
def found(draw):
    """Verdicts of the kinds that health looks at, each kind there or not."""
    columns = [
        verdict(f"{kind}:c{number}", draw(OUTCOMES))
        for kind in (COVARIATE, DATA_FAULT)
        for number in range(draw(st.integers(0, 4)))
    ]
    prediction = [verdict(PREDICTION_DRIFT, draw(OUTCOMES), effect=draw(NUMBERS), threshold=draw(NUMBERS))]
    decay = [
        verdict(f"{DECAY}:roc_auc", draw(OUTCOMES), lower=draw(NUMBERS)),
        verdict(f"{DECAY}:calibration_gap", draw(OUTCOMES), **gap(draw(NUMBERS), usual=draw(NUMBERS))),
    ]
    return [*columns, *(prediction if draw(st.booleans()) else []), *(decay if draw(st.booleans()) else [])]


@given(found(), st.integers(0, 2000), st.integers(0, 2000), st.booleans())
def test_it_is_the_weighted_mean_of_the_parts_that_are_stored(verdicts, rows, mature, due):
    score, parts = health_of(SPEC, verdicts, rows=rows, mature_rows=mature, labels_due=due)
    if score is None:
        assert parts == {}
        assert all(one.outcome is Outcome.INCONCLUSIVE for one in verdicts)
        return
    assert set(parts) <= set(WEIGHTS)
    assert all(0 <= part <= 1 for part in parts.values())
    assert 0 <= score <= 1
    mean = sum(WEIGHTS[name] * part for name, part in parts.items()) / sum(WEIGHTS[name] for name in parts)
    assert score == pytest.approx(mean)


@given(found(), st.data())
def test_a_failure_never_raises_it(verdicts, data):
    passing = [place for place, one in enumerate(verdicts) if one.passed and ":c" in one.check and "calibration" not in one.check]
    if not passing:
        return
    place = data.draw(st.sampled_from(passing))
    worse = [*verdicts]
    worse[place] = verdicts[place].model_copy(update={"outcome": Outcome.FAIL})
    plain = {"rows": 500, "mature_rows": 500, "labels_due": True}
    before, after = health_of(SPEC, verdicts, **plain)[0], health_of(SPEC, worse, **plain)[0]
    assert before is not None
    assert after is not None
    assert after < before


@pytest.mark.parametrize(
    ("score", "name"),
    [(1.0, "good"), (0.801, "good"), (0.8, "warning"), (0.6, "warning"), (0.599, "critical"), (0.0, "critical")],
)
def test_the_documents_bands(score, name):
    assert band(score) == name


def test_weights_are_whole():
    assert sum(WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("effect", "lower", "usual", "performance"),
    [(0.14, 0.1, 0.15, 1.0), (0.15, 0.1, 0.15, 1.0), (0.16, 0.1, 0.15, 0.5), (0.14, 0.1, 0.0, 0.5), (0.5, 0.4, 0.15, 0.0)],
)
def test_a_calibration_gap_counts_from_where_its_verdict_counts_it(effect, lower, usual, performance):
    judged = verdict(f"{DECAY}:calibration_gap", Outcome.PASS, **gap(effect, usual, lower))
    parts = health_of(SPEC, [judged], rows=500, mature_rows=500, labels_due=True)[1]
    assert parts["performance"] == pytest.approx(performance)
