"""What the section alerts refuses, with the sentence that says what is allowed."""

from __future__ import annotations

import pytest

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.loading import load_model
from tests.unit.lifecycle.conftest import CHURN

REFUSED = [
    ("alerts: {owner: x}", "alerts.owner"),
    ("alerts: {respond_within: {P0: 2h}}", "P0 must not be longer than P1's, the milder one"),
    ("alerts: {respond_within: {P0: 0s}}", "it must be longer than 0s"),
    ("alerts: {performance: {P2: 0.03}}", "P1 must not be below P2's, the milder one"),
    ("alerts: {storm: {within: 1h}}", "allowed: at most alerts.respond_within.P0, which is 900 s"),
    ("alerts: {storm: {messages: 0}}", "alerts.storm.messages"),
    ("alerts: {severities: {decai: P0}}", "no finding is of this kind; did you mean 'decay'?"),
    ("alerts: {severities: {model_down.act: P0}}", "no finding is of this kind"),
    ("alerts: {severities: {decay: P9}}", "alerts.severities.decay"),
    ("alerts: {escalation: {P0: [on_call, on_call]}}", "'on_call' stands in this chain twice"),
    ("alerts: {channels: {on_cal: {slack: conn:a}}}", "no chain of alerts.escalation names this role; did you mean 'on_call'?"),
    ("alerts: {channels: {on_call: {pigeon: conn:a}}}", "pigeon"),
    ("alerts: {channels: {on_call: {slack: a}}}", "alerts.channels.on_call.slack"),
    ("alerts: {routes: {P0: [pigeon]}}", "alerts.routes.P0"),
    ("alerts: {delivery: {attempts: 0}}", "alerts.delivery.attempts"),
]


@pytest.mark.parametrize(("line", "told"), REFUSED)
def test_what_is_refused(project, line, told):
    problems = project.problems(f"{CHURN}{line}\n")
    assert any(told in problem for problem in problems), problems


ALLOWED = [
    "alerts: {owner: conn:flight_ops_slack}",
    "alerts: {channels: {on_call: {slack: conn:a, phone: conn:b}, cto: {email: conn:c}}}",
    "alerts: {escalation: {P2: [on_call]}, routes: {P3: []}, storm: {within: 15m}}",
    "alerts: {severities: {decay: P1, decay.act: P0}, performance: {P0: 0.1, P1: 0.1, P2: 0.0}}",
]


@pytest.mark.parametrize("line", ALLOWED)
def test_what_is_allowed(project, line):
    project.write(f"{CHURN}{line}\n")
    try:
        load_model("churn", settings=project.settings)
    except SpecInvalidError as problem:
        pytest.fail(str(problem))
