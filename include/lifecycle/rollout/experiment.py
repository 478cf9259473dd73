"""The A/B test's check: whether the challenger is better, worse, or not yet to be told. Pure; the samples are read elsewhere."""

from __future__ import annotations

from include.lifecycle.rollout.states import Measurement, Plan
from include.lifecycle.verdicts import Outcome, Verdict


def check_experiment(plan: Plan, seen: Measurement) -> Verdict:
    """The difference challenger less champion (better is above 0) by its time-uniform bounds against 0 and the minimum effect.

    A lower bound above 0 with an estimate of at least the minimum effect passes; an upper bound below 0 fails.
    """
    found = seen.experiment
    if found is None or found.lower is None or found.upper is None or found.difference is None:
        return Verdict(check="experiment", outcome=Outcome.INCONCLUSIVE, reason="no samples of both arms yet", evidence={})
    minimum = plan.ab_test.minimum_effect if plan.ab_test else 0.0
    won = found.lower > 0 and found.difference >= minimum
    outcome = Outcome.PASS if won else Outcome.FAIL if found.upper < 0 else Outcome.INCONCLUSIVE
    reason = f"difference {found.difference:+.4f} ({found.lower:+.4f} to {found.upper:+.4f}), minimum effect {minimum}"
    return Verdict(check="experiment", outcome=outcome, reason=reason, evidence=found.model_dump() | {"minimum_effect": minimum})
