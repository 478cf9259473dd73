"""What the YAML may say about approvals, at its edges, and how `explain` tells it."""

from __future__ import annotations

import pytest

from include.lifecycle.loading import load_model
from include.lifecycle.wording import in_words
from tests.unit.lifecycle.conftest import CHURN


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (
            "risk: high",
            "risk: approval.committee is empty, and risk high asks a committee, so name at least 2 Airflow users",
        ),
        (
            "approval: {committee: [ann]}",
            "approval.committee: got 1; allowed: at least as many as approval.quorum, 2",
        ),
        (
            "approval: {team: [ann, bob, ann]}",
            "approval.team[2]: 'ann' stands in this list twice; each person counts once",
        ),
        ("approval: {quorum: 0}", "approval.quorum: got 0; allowed: at least 1"),
        ("approval: {expires: 0s}", "approval.expires: 0s is too short; it must be longer than 0s"),
        ("approval: {look: 0s}", "approval.look: 0s is too short; it must be longer than 0s"),
        ("approval: {by_risk: {low: boss}}", "approval.by_risk.low: got 'boss'; allowed: none, team, lead, committee"),
    ],
)
def test_what_cannot_be_is_refused(project, lines, told):
    (problem,) = project.problems(f"{CHURN}{lines}\n")
    assert problem.partition(": ")[2] == told


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("risk: low", "Nobody is asked before a rollout (risk low)."),
        (
            "risk: low\napproval: {change_counts_from: low, by_change: {small: none}, lead: [ann]}",
            "Each rollout goes out by itself (risk low); a medium change asks one of ann; a large change asks 2 of those who may "
            "answer. No answer within 3d is a refusal.",
        ),
        (
            "risk: high\napproval: {committee: [ann, bob, cid], expires: 2h}",
            "Each rollout waits in Required Actions for 2 of ann, bob, cid, but not for who asked for the training (risk high). "
            "No answer within 2h is a refusal.",
        ),
    ],
)
def test_explain_says_who_is_asked(project, lines, told):
    project.write(f"{CHURN}{lines}\n")
    assert dict(in_words(load_model("churn", settings=project.settings)))["Person"] == told
