"""Links from tasks to pages."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from include.lifecycle.clock import FixedClock
from include.lifecycle.data.validation_report import publish_page
from include.lifecycle.evaluation.report import HTML
from include.lifecycle.evaluation.report import publish_page as publish_evaluation
from include.lifecycle.rollout.experiments.page import page_name as experiment_page
from include.lifecycle.rollout.shadowing.page import page_name as shadow_page
from include.lifecycle.runtime import RunContext, build_runtime
from include.settings import load_settings
from modelops.links import DataReportLink, EvaluationReportLink, PeriodicReportLink, ReportLink, RolloutReportLink
from modelops.operators.data import ValidateDataOperator
from modelops.operators.evaluation import EvaluateModelOperator
from modelops.operators.rollout import RollOutVersionOperator
from tests.unit.lifecycle.data.test_preparation import START

RUN_ID = "manual__2026-01-01T00:00:00+00:00"


def test_the_data_reports_link_names_the_page_that_was_written(tmp_path):
    rt = build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}), FixedClock(START))
    content = {"model": "trips", "run": RUN_ID, "outcome": "pass", "reason": "", "quarantine": {}, "checks": []}
    counts = {"rows": 1, "quarantined": 0, "clean_rows": 1}
    page = publish_page(rt, RunContext("trips", RUN_ID, "validate_data"), content | counts)
    operator: Any = ValidateDataOperator(task_id="validate_data", model="trips", fetched={})
    key: Any = SimpleNamespace(dag_id="train__trips", run_id=RUN_ID)
    (link,) = operator.operator_extra_links
    assert isinstance(link, DataReportLink)
    assert link.get_link(operator, ti_key=key) == f"/modelops/v1/models/trips/reports/{page.name}"
    assert page == rt.storage.reports("trips") / page.name


def test_the_evaluations_link_names_the_page_that_was_written(tmp_path):
    rt = build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}), FixedClock(START))
    (tmp_path / HTML).write_text("<html></html>")
    page = publish_evaluation(rt, RunContext("trips", RUN_ID, "evaluate_model"), tmp_path)
    operator: Any = EvaluateModelOperator(task_id="evaluate_model", model="trips", order={}, prepared={}, trained={})
    key: Any = SimpleNamespace(dag_id="train__trips", run_id=RUN_ID)
    (link,) = operator.operator_extra_links
    assert isinstance(link, EvaluationReportLink)
    assert link.get_link(operator, ti_key=key) == f"/modelops/v1/models/trips/reports/{page.name}"
    assert page.read_text() == "<html></html>"


def test_values_on_the_page_are_text_only(tmp_path):
    rt = build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}), FixedClock(START))
    check = {"check": "c", "column": "<b>", "outcome": "fail", "warning": False, "rows": 1, "unexpected": 1, "detail": ""}
    content = {"model": "trips", "run": "r", "outcome": "fail", "reason": "<i>", "quarantine": {"<u>": 1}}
    counts = {"rows": 1, "quarantined": 1, "clean_rows": 0}
    checks = [check | {"examples": ["<script>alert(1)</script>"]}]
    page = publish_page(rt, RunContext("trips", "r", "validate_data"), content | counts | {"checks": checks})
    text = page.read_text()
    assert "&lt;script&gt;" in text
    assert not any(tag in text for tag in ("<script", "<i>", "<u>", "<b>alert", "<td><b>"))


@pytest.mark.parametrize(
    ("strategy", "name"),
    [("shadow", shadow_page(RUN_ID)), ("ab_test", experiment_page(RUN_ID)), ("aa_test", experiment_page(RUN_ID)), ("canary", "")],
)
def test_the_rollouts_link_names_the_page_of_its_strategy(strategy, name):
    planned = {"model": "trips", "rollout_id": 3, "strategy": strategy}
    operator: Any = RollOutVersionOperator(task_id="roll_out", model="trips", planned=planned, poll=1.0)
    key: Any = SimpleNamespace(dag_id="deploy__trips", run_id=RUN_ID)
    (link,) = operator.operator_extra_links
    assert isinstance(link, RolloutReportLink)
    assert link.get_link(operator, ti_key=key) == (f"/modelops/v1/models/trips/reports/{name}" if name else "")


@pytest.mark.parametrize(
    ("link", "result", "name"),
    [
        (
            ReportLink(),
            {"model": "trips", "reports": ["/data/reports/trips/20130801T0000-v3.html", "/older"]},
            "20130801T0000-v3",
        ),
        (
            PeriodicReportLink(),
            {"model": "trips", "path": "/data/reports/trips/report-daily-2013-08-01.html"},
            "report-daily-2013-08-01",
        ),
        (ReportLink(), {"model": "trips", "reports": []}, ""),
        (PeriodicReportLink(), None, ""),
    ],
)
def test_the_reports_links_name_what_the_task_wrote(link, result, name, monkeypatch):
    monkeypatch.setattr("modelops.links.XCom.get_value", lambda **_: result)
    key: Any = SimpleNamespace(dag_id="report_daily", run_id=RUN_ID)
    assert link.get_link(None, ti_key=key) == (f"/modelops/v1/models/trips/reports/{name}.html" if name else "")
