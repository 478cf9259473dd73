"""The shadow's check: whether both versions decide alike on the same requests. Pure; the pairs are read elsewhere."""

from __future__ import annotations

from include.lifecycle.rollout.states import Measurement, Plan
from include.lifecycle.statistics.sequential import proportion_interval
from include.lifecycle.verdicts import Outcome, Verdict

PASS_ALPHA = 0.05  # chance to let a shadow pass whose true agreement is below the limit


def check_agreement(plan: Plan, seen: Measurement) -> Verdict:
    """Share of equal decisions against the plan's minimum, by its confidence sequence (statistics/sequential.py).

    The lower bound above the minimum passes, the upper bound below it fails.
    """
    minimum = plan.shadow.minimum_agreement if plan.shadow else 0.0
    pairs, agreed = (seen.pairs.pairs, seen.pairs.agreed) if seen.pairs else (0, 0)
    lower, upper = proportion_interval(agreed, pairs, PASS_ALPHA)[0], proportion_interval(agreed, pairs, plan.alpha)[1]
    outcome = Outcome.PASS if lower >= minimum else Outcome.FAIL if upper < minimum else Outcome.INCONCLUSIVE
    reason = f"{agreed} of {pairs} pairs agree ({lower:.1%} to {upper:.1%}); at least {minimum:.0%} is wanted"
    evidence = {"pairs": pairs, "agreed": agreed, "lower": lower, "upper": upper, "minimum": minimum}
    return Verdict(check="agreement", outcome=outcome, reason=reason, evidence=evidence)
