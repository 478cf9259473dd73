"""How rollout checks judge: a share against its limit, and a safe test against its level. Pure; checks.py puts them together."""

from __future__ import annotations

import math
from typing import Any

from include.lifecycle.rollout.states import Measurement, Plan
from include.lifecycle.statistics.safe_test import SafeTest
from include.lifecycle.statistics.sequential import proportion_interval
from include.lifecycle.verdicts import Outcome, Verdict

MISS_RATE = 0.05
_UNPLANNED = 0.001  # chance to call a split unplanned that is as planned
_MOST_LOG = 50.0  # larger e-values are told as this one


def judge_share(check: str, hits: int, total: int, limit: float, alpha: float) -> Verdict:
    """Judge a share against `limit` by its confidence sequence: lower bound above fails, upper bound below passes.

    A fail is wrong with probability at most `alpha` over the whole stream, a pass with at most MISS_RATE.
    """
    lower = proportion_interval(hits, total, alpha)[0]
    upper = proportion_interval(hits, total, MISS_RATE)[1]
    outcome = Outcome.FAIL if lower > limit else Outcome.PASS if upper < limit else Outcome.INCONCLUSIVE
    evidence = {"hits": hits, "total": total, "lower": lower, "upper": upper, "limit": limit, "alpha": alpha}
    share = f"{hits} of {total} requests" if total else "no requests yet"
    return Verdict(check=check, outcome=outcome, reason=f"{share}; limit {limit:.1%}, lower bound {lower:.2%}", evidence=evidence)


def judge_errors(plan: Plan, seen: Measurement) -> Verdict:
    """The hard limit of failures. Requests that clients left before an answer could be expected are not counted."""
    return judge_share("error_rate", seen.errors, seen.requests - seen.left, plan.limits.error_rate, plan.alpha)


def with_harm(verdict: Verdict, harm: str, log_e: float, alpha: float, more: dict[str, Any]) -> Verdict:
    """The verdict of a hard limit, failed as well when `harm` (empty: none) says what a safe test found.

    `log_e` is the largest logarithm of its e-value so far; it stands in the evidence beside what was needed.
    """
    found = {"e_value": math.exp(min(log_e, _MOST_LOG)), "e_needed": 1 / alpha}
    evidence = verdict.evidence | found | more
    if not harm or verdict.failed:
        return verdict.model_copy(update={"evidence": evidence})
    reason = f"{harm}; e-value {found['e_value']:.3g}, {found['e_needed']:.3g} needed; {verdict.reason}"
    return Verdict(check=verdict.check, outcome=Outcome.FAIL, reason=reason, evidence=evidence)


def unplanned_split(test: SafeTest, share: float | None) -> str:
    """Why the test of two arms says nothing: they did not get the shares that it is built on. Empty when they did."""
    if share is None:
        return ""
    ours, theirs = int(test.challenger[1]), int(test.champion[1])
    lower, upper = proportion_interval(ours, ours + theirs, _UNPLANNED)
    if lower <= share <= upper:
        return ""
    return f"not compared: {ours} of {ours + theirs} requests of both arms are the challenger's, {share:.1%} were planned"
