"""Which key a broken rule blames (the one that was written), what is said of moved keys, and of values that look right."""

from __future__ import annotations

import pytest

from include.lifecycle.loading import load_model
from tests.unit.lifecycle.conftest import CHURN

STEPS = "steps: [{percent: 10, at_least: 24h, requests: 1}, {percent: 50, at_least: 75m, requests: 1}]"
TOO_LONG = "at least, and rollout.give_up_after is 24h, so every rollout would be given up"
SHORT = "a shorter lease could run out between two looks, and the watchdog would then return the traffic"
USER = "allowed: a header with one value per user or account, such as x-user-id"
BLAMED = [
    (
        "server: {max_rows: 1000000}",
        "server.max_rows: got 1000000; allowed: at most prediction_log.buffer_rows, which is 50000: a larger request would "
        "never be logged",
    ),
    (
        "prediction_log: {buffer_rows: 2}",
        "prediction_log.buffer_rows: got 2; allowed: at least server.max_rows, which is 10000: a larger request would never be "
        "logged",
    ),
    (f"rollout: {{{STEPS}}}", f"rollout.steps: the stages wait 25h15m {TOO_LONG}"),
    (
        "rollout: {strategy: shadow, shadow: {at_least: 24h, then: hold}}",
        f"rollout.shadow.at_least: the stages wait 1d {TOO_LONG}",
    ),
    (
        "rollout: {strategy: rolling, rolling: {at_least: 24h}}\nserver: {replicas: 2}",
        f"rollout.rolling.at_least: the stages wait 1d {TOO_LONG}",
    ),
    (
        f"rollout: {{{STEPS}, give_up_after: 25h}}",
        "rollout.give_up_after: got 25h, but the stages wait 25h15m at least, so every rollout would be given up",
    ),
    (
        "approval: {quorum: 3, committee: [a, b]}",
        "approval.quorum: got 3, with 2 in approval.committee; allowed: at most as many",
    ),
    (
        "risk: high\napproval: {committee: []}",
        "approval.committee: is empty; risk high asks a committee, so name at least 2 Airflow users",
    ),
    (
        "monitoring: {performance: {act: 0.001}}",
        "monitoring.performance.act: got 0.001; it must not be below monitoring.performance.warn, 0.02",
    ),
    ("rollout: {lease: 1s}", f"rollout.lease: got 1s; allowed: at least 5 x rollout.poll, 5s: {SHORT}"),
    ("rollout: {lease: 4900ms}", f"rollout.lease: got 4900ms; allowed: at least 5 x rollout.poll, 5s: {SHORT}"),
    ("rollout: {poll: 13s}", f"rollout.poll: got 13s; allowed: a fifth of rollout.lease at most, 12s: {SHORT}"),
    ("rollout: {lease: 500ms}", "rollout.lease: got 500ms; it must not be below rollout.poll, 1s"),
]
SHARP = [
    ("retention: {keep_predictions: 30d}", "retention.keep_predictions: unknown key; it is prediction_log.keep now"),
    ("rollout: {approvers: [ann]}", "rollout.approvers: unknown key; it is approval.team now"),
    ("rollout: {approval_timeout: 1d}", "rollout.approval_timeout: unknown key; it is approval.expires now"),
    (
        "rollout: {metrics: [{name: aa, query: '', limit: 1}]}",
        "rollout.metrics[0].query: got ''; allowed: text of at least 1 character",
    ),
    (
        "rollout: {ab_test: {split: 0.105}}",
        "rollout.ab_test.split: got 0.105; allowed: whole percents, which is what the gateway splits by, such as 0.10 or 0.11",
    ),
    (
        "rollout: {ab_test: {sticky_header: x-modelops-arm}}",
        f"rollout.ab_test.sticky_header: got 'x-modelops-arm': the gateway sets it and removes what a client sends; {USER}",
    ),
    (
        "rollout: {ab_test: {sticky_header: host}}",
        f"rollout.ab_test.sticky_header: got 'host': it names the server; {USER}",
    ),
    (
        "rollout: {ab_test: {sticky_header: cookie}}",
        f"rollout.ab_test.sticky_header: got 'cookie': it changes whenever a page sets another cookie; {USER}",
    ),
    (
        "rollout: {ab_test: {sticky_header: content-length}}",
        f"rollout.ab_test.sticky_header: got 'content-length': it is about the body; {USER}",
    ),
    (
        "rollout: {ab_test: {sticky_header: x-request-id}}",
        f"rollout.ab_test.sticky_header: got 'x-request-id': it is new with each request; {USER}",
    ),
]
FINE = [
    *(f"rollout: {{ab_test: {{split: {share}}}}}" for share in ("0.01", "0.07", "0.29", "0.5")),
    *(f"rollout: {{ab_test: {{sticky_header: {name}}}}}" for name in ("x-account", "hostname", "cookies", "x-request-idea")),
    "rollout: {lease: 5s}",
    "rollout: {poll: 12s}",
]


@pytest.mark.parametrize(("lines", "told"), [*BLAMED, *SHARP])
def test_it_is_told_at_the_key_that_was_written(project, lines, told):
    (problem,) = project.problems(f"{CHURN}{lines}\n")
    place, _, text = problem.partition(": ")
    assert text == told
    assert not place.startswith("churn.yaml:1:")


@pytest.mark.parametrize("lines", FINE)
def test_what_is_just_right_passes(project, lines):
    project.write(f"{CHURN}{lines}\n")
    assert load_model("churn", settings=project.settings).name == "churn"
