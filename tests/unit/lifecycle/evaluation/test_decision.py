"""From verdicts to a decision: fails stop, warnings are told, inconclusive goes where the policy says."""

from __future__ import annotations

from typing import Any

import pytest

from include.lifecycle.evaluation.decision import decide
from include.lifecycle.evaluation.gates import no_champion
from include.lifecycle.verdicts import Outcome, Verdict
from tests.unit.lifecycle.evaluation.cases import spec_of

SPEC = spec_of()


def verdict(check: str, outcome: str, **evidence: Any) -> Verdict:
    return Verdict(check=check, outcome=Outcome(outcome), reason="because", evidence=evidence)


@pytest.mark.parametrize(
    ("outcomes", "champion", "deployable"),
    [
        (("pass", "pass", "pass"), None, True),
        (("inconclusive", "pass", "pass"), None, False),
        (("pass", "inconclusive", "pass"), None, False),
        (("pass", "pass", "pass"), 3, True),
        (("pass", "pass", "inconclusive"), 3, True),
        (("inconclusive", "pass", "inconclusive"), 3, True),
        (("pass", "pass", "fail"), 3, False),
        (("fail", "pass", "pass"), 3, False),
    ],
)
def test_who_may_roll_out(outcomes: tuple[str, str, str], champion: int | None, deployable: bool) -> None:
    checks = ("floor", "baseline", "champion:not_worse:roc_auc")
    found = decide(SPEC, [verdict(check, one) for check, one in zip(checks, outcomes, strict=True)], champion)
    assert (found.deployable, found.held) == (deployable, False)
    assert found.reason


def test_a_challenger_that_had_to_be_better_and_cannot_be_told_is_held_for_a_person() -> None:
    better = verdict("champion:better:brier_score", "inconclusive", demand="better")
    keep = verdict("champion:not_worse:roc_auc", "inconclusive", demand="not worse by 0.005")
    found = decide(SPEC, [better, keep], 3)
    assert (found.deployable, found.held, found.outcome) == (False, True, "inconclusive")
    assert "until a person releases it: champion:better:brier_score" in found.reason
    assert "roc_auc" not in found.reason


@pytest.mark.parametrize(
    ("answer", "deployable", "held"), [("canary", True, False), ("hold", False, True), ("refuse", False, False)]
)
def test_the_policy_answers_each_kind_of_doubt(answer: str, deployable: bool, held: bool) -> None:
    doubts = {
        "better": verdict("champion", "inconclusive", demand="better"),
        "not_worse": verdict("anchor:not_worse:roc_auc", "inconclusive", demand="not worse by 0.005"),
        "gates": verdict("fairness:sex:demographic_parity", "inconclusive"),
    }
    for kind, doubt in doubts.items():
        spec = spec_of(on_inconclusive={kind: answer})
        found = decide(spec, [verdict("floor", "pass"), doubt], 3)
        assert (found.deployable, found.held) == (deployable, held), kind


def test_the_strictest_answer_counts() -> None:
    spec = spec_of(on_inconclusive={"better": "hold", "gates": "refuse"})
    doubts = [verdict("champion:better:roc_auc", "inconclusive", demand="better"), verdict("latency", "inconclusive")]
    found = decide(spec, doubts, 3)
    assert (found.deployable, found.held) == (False, False)
    assert "refused: latency" in found.reason


def test_an_inconclusive_fairness_gate_is_named_on_a_first_version() -> None:
    verdicts = [verdict("floor", "pass"), verdict("baseline", "pass"), verdict("fairness:sex:equal_opportunity", "inconclusive")]
    found = decide(SPEC, [*verdicts, no_champion()], None)
    assert found.deployable
    assert "fairness:sex:equal_opportunity" in found.reason


def test_a_warning_is_told_and_stops_nothing() -> None:
    found = decide(
        SPEC, [verdict("floor", "pass"), verdict("drift", "fail", act="warn"), verdict("latency", "inconclusive", act="warn")], 3
    )
    assert (found.deployable, found.outcome) == (True, "pass")
    assert "warned: drift" in found.reason
    assert not decide(SPEC, [verdict("floor", "pass"), verdict("drift", "fail", act="fail")], 3).deployable
