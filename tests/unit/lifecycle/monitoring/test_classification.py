"""What a window amounts to: the first rule that fits, and the checks that made it."""

from __future__ import annotations

import pytest

from include.lifecycle.monitoring.classification import RULES, classify
from include.lifecycle.monitoring.kinds import KINDS
from include.lifecycle.verdicts import Outcome, Verdict


def verdicts(**outcomes: str) -> list[Verdict]:
    return [Verdict(check=check.replace("__", ":"), outcome=Outcome(outcome), reason="") for check, outcome in outcomes.items()]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"data_fault__x": "fail", "covariate__y": "fail", "decay__roc_auc": "fail"}, "data_fault"),
        ({"data_fault__x": "pass", "security__extraction": "fail", "covariate__y": "fail"}, "security"),
        ({"decay__roc_auc": "fail", "covariate__y": "fail"}, "decay"),
        ({"decay__roc_auc": "inconclusive", "estimated_decay": "fail", "covariate__y": "fail"}, "estimated_decay"),
        ({"decay__roc_auc": "pass", "prediction_drift": "fail"}, "covariate"),
        ({"data_fault__x": "pass", "skew__x": "fail"}, "nothing_found"),
        ({"data_fault": "inconclusive", "traffic": "fail"}, "not_enough_evidence"),
        ({}, "not_enough_evidence"),
    ],
)
def test_the_first_rule_that_fits_says_so(found, expected):
    told = classify(verdicts(**found))
    assert told["class"] == expected
    failed = {check.replace("__", ":") for check, outcome in found.items() if outcome == "fail"}
    assert set(told["because"]) <= failed
    assert bool(told["because"]) == (expected in {rule.name for rule in RULES})
    assert told["rule"]


def test_rules_name_kinds_that_exist_once():
    named = [kind for rule in RULES for kind in rule.kinds]
    assert len(named) == len(set(named))
    assert set(named) <= set(KINDS)
