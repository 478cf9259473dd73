"""The page and its charts: self-contained, escaped, the same bytes for the same numbers."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from include.lifecycle.evaluation.case import Case
from include.lifecycle.evaluation.curves import calibration_curve, charts
from include.lifecycle.evaluation.importance import FeatureImportance, Importance
from include.lifecycle.evaluation.page import html_page
from include.lifecycle.evaluation.plots import line_chart
from include.lifecycle.evaluation.table import GATES, run_gates
from include.lifecycle.verdicts import Outcome, Verdict
from tests.unit.lifecycle.evaluation.cases import scored, spec_of, trips

FRAME, P = trips(30, 60)


def case_of(task: str) -> Case:
    random = np.random.default_rng(3)
    if task == "regression":
        frame, p = FRAME.assign(late=FRAME["wind"]), FRAME["wind"].to_numpy() + random.normal(0, 1, len(P))
        return Case(spec_of(task), None, frame, scored(frame, p), [10.0])
    if task == "multiclass_classification":
        frame = FRAME.assign(late=random.choice(["early", "late", "never"], len(P)))
        return Case(spec_of(task), None, frame, scored(frame, random.dirichlet([1, 1, 1], len(P))), [1 / 3] * 3)
    return Case(spec_of(task), None, FRAME, scored(FRAME, P), [0.3])


@pytest.mark.parametrize(
    ("task", "titles"),
    [
        ("binary_classification", ["ROC", "Precision and recall", "Calibration"]),
        ("multiclass_classification", ["ROC", "Precision and recall", "Calibration"]),
        ("regression", ["Prediction and truth", "Residuals"]),
    ],
)
def test_charts_of_each_task_are_wellformed(task: str, titles: list[str]) -> None:
    found = list(charts(case_of(task), []))
    assert [ET.fromstring(chart).get("aria-label") for chart in found] == titles
    assert found == list(charts(case_of(task), []))
    assert all(len(chart) < 60_000 for chart in found)


@pytest.mark.parametrize("task", ["binary_classification", "multiclass_classification", "regression"])
def test_every_gate_is_judged_or_says_why_not(task: str) -> None:
    verdicts, silent = run_gates(case_of(task))
    judged = {verdict.check.partition(":")[0] for verdict in verdicts}
    for gate in GATES:
        assert (gate.name in silent) != (gate.name in judged), gate.name
    assert all(silent.values())
    assert {"baseline", "champion", "slice_search"} <= judged


def test_one_class_only_draws_nothing_and_breaks_nothing() -> None:
    frame = FRAME.assign(late=0)
    assert list(charts(Case(spec_of(), None, frame, scored(frame, P), [0.3]), [])) == []


def test_the_calibration_curve_is_scikit_learns() -> None:
    from sklearn.calibration import calibration_curve as wanted

    y = FRAME["late"].to_numpy(float)
    rates, means = wanted(y, P, n_bins=10)
    mine = calibration_curve(y, P)
    np.testing.assert_allclose(mine[0], means)
    np.testing.assert_allclose(mine[1], rates)


def test_the_page_is_selfcontained_and_escaped() -> None:
    verdict = Verdict(check="slice:<b>", outcome=Outcome.FAIL, reason="a < b & c", evidence={"act": "warn"})
    page = html_page("t", "d", ["f <i>"], [verdict], {"latency": "off, because"}, {"This model": {"roc_auc": 0.5}}, ["<svg/>"])
    assert "<b>slice" not in page
    assert "slice:&lt;b&gt;" in page
    assert "fail (warns only)" in page
    assert "off, because" in page
    assert "http" not in page
    assert "src=" not in page


def test_importance_is_drawn() -> None:
    found = Importance(
        metric="roc_auc", rows=9, repeats=1, seed=1, features=[FeatureImportance(feature="wind", drop=0.2, lower=0.1, upper=0.3)]
    )
    case = case_of("regression")
    case.__dict__["importance"] = found
    assert any("Importance: loss of roc_auc" in chart for chart in charts(case, []))


def test_a_chart_of_nothing_is_an_empty_frame() -> None:
    nothing = np.zeros(0)
    assert ET.fromstring(line_chart("Nothing", "across", "up", [("", nothing, nothing)])).get("aria-label") == "Nothing"
