"""Severities by the ladder, routes and the rules of the YAML's section; every kind has its runbook."""

from __future__ import annotations

import re

import pytest

from include.lifecycle.alerting.kinds import ALERT_KINDS, LEVELS, is_signal, runbook_of
from include.lifecycle.alerting.policy import Finding, channels_of, default_policy, next_level, policies_of, severity_of_signal
from include.lifecycle.monitoring.kinds import KINDS
from include.lifecycle.sections.alerts import AlertsSection
from include.settings import PROJECT_ROOT, load_settings


@pytest.fixture
def policy():
    return default_policy(load_settings({}))


FOUND = [
    ("decay", "act", {"lower": 0.051, "measure": "roc_auc"}, "P0"),
    ("decay", "act", {"lower": 0.05, "measure": "roc_auc"}, "P1"),
    ("decay", "warn", {"lower": 0.021, "measure": "roc_auc"}, "P1"),
    ("decay", "warn", {"lower": 0.011, "measure": "roc_auc"}, "P2"),
    ("decay", "warn", {"lower": 0.0, "measure": "roc_auc"}, "P3"),
    ("decay", "act", {"lower": 0.2, "measure": "calibration_gap"}, "P1"),
    ("decay", "warn", {}, "P2"),
    ("security", "act", {}, "P0"),
    ("security", "warn", {}, "P1"),
    ("bias", "warn", {}, "P1"),
    ("data_fault", "critical", {}, "P1"),
    ("covariate", "warn", {}, "P2"),
    ("covariate", "act", {}, "P1"),
    ("attribution_drift", "act", {}, "P3"),
    ("labels", "P1", {}, "P1"),
]


@pytest.mark.parametrize(("kind", "severity", "evidence", "wanted"), FOUND)
def test_the_ladder(policy, kind, severity, evidence, wanted):
    assert severity_of_signal(policy, Finding(kind, severity, 0.1, evidence)) == wanted


def test_a_missed_floor_is_no_share_of_skill(policy):
    found = Finding("decay", "act", 0.01, {"lower": 0.002, "measure": "accuracy"}, "floor_accuracy")
    assert severity_of_signal(policy, found) == "P1"


def test_strong_drift_is_as_urgent_as_one_that_acts(policy):
    assert severity_of_signal(policy, Finding("covariate", "warn", 0.49, {})) == "P2"
    assert severity_of_signal(policy, Finding("covariate", "warn", 0.5, {})) == "P1"


def test_every_signal_is_a_kind_of_alert_with_a_severity(policy):
    assert set(KINDS) <= set(ALERT_KINDS)
    assert set(ALERT_KINDS) <= {name.removesuffix(".act") for name in policy.severities}
    assert all(is_signal(name) == (name in KINDS) for name in ALERT_KINDS)


def test_every_kind_has_a_section_in_the_runbooks():
    text = (PROJECT_ROOT / "docs" / "runbooks.md").read_text()
    heads = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    missing = {kind.name: kind.runbook for kind in ALERT_KINDS.values() if kind.runbook not in anchors}
    assert missing == {}
    assert runbook_of("nothing_known") in anchors


def test_levels_are_a_view_of_severities():
    assert LEVELS == {"P0": "CRITICAL", "P1": "WARNING", "P2": "WARNING", "P3": "INFO"}


def test_a_chain_ends(policy):
    assert [next_level(policy, "P0", level) for level in range(4)] == [1, 2, 3, None]
    assert next_level(policy, "P3", 0) is None


def test_a_role_without_the_severitys_media_is_told_by_what_it_has(policy):
    some = AlertsSection.model_validate(policy.model_dump(mode="json") | {"channels": {"on_call": {"email": "conn:a"}}})
    assert channels_of(some, "P3", 0) == ["log", "email:a"]
    assert channels_of(some, "P3", 1) == ["log"]


def test_a_model_without_a_valid_yaml_has_the_defaults(policy):
    of = policies_of(load_settings({}))
    assert of("no_such_model") == policy
    assert of("flight_delay").respond_within == policy.respond_within
