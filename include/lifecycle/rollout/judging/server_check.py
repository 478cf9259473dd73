"""Whether the challenger's servers are dead: a mechanical limit that acts within seconds, before any statistics could. Pure.

The gateway lets another server answer for a dead one, so it does not show in what clients see.
"""

from __future__ import annotations

import math

from include.lifecycle.rollout.evidence import Measurement
from include.lifecycle.rollout.judging.source_evidence import GatewayEvidence
from include.lifecycle.rollout.states import Plan
from include.lifecycle.statistics.sketch import Sketch
from include.lifecycle.verdicts import Outcome, Verdict

FEWEST_FAILED = 3
FEWEST_WAITING = 2
_TIMES_P99 = 3
_CHAMPION_ANSWERS = 5  # meanwhile: a machine that stands still stops both


def server_checks(plan: Plan, seen: Measurement) -> list[Verdict]:
    """The check of the servers, once there is something to judge it by: an answer of the gateway, or failures in a row."""
    verdict = check_servers(plan, seen)
    return [] if verdict.outcome is Outcome.INCONCLUSIVE and "gateway" not in seen.silent else [verdict]


def check_servers(plan: Plan, seen: Measurement) -> Verdict:
    """Fails when one of these holds, and passes when the gateway says that none does.

    - In a row: the last k requests of the challenger failed, k = max(3, (log(1 / alpha) + 2 log(n + 1)) / log(1 / p)), with n its
      requests before them and p = (champion's errors + 1) / (its requests + 50). A version that fails like the champion comes
      there with probability at most alpha in the whole stage: starting at request j has weight 1 / (j (j + 1)), Ville (1939).
    - Unanswered: its newest request failed, and so did every probe of its servers, at least three, while the champion answers.
    - Silent: for longer than `limits.dead_after` and three times the champion's p99 requests waited at each look and none was
      answered (a client that gave up is no answer), two or more wait now, and the champion answered five meanwhile.
    - Sick: for `limits.dead_after` the gateway holds none of its servers for healthy (active check, or ejected), but one of the
      champion's.

    An honest slow start trips none of them: servers get no traffic before they are healthy, and answers that take less than
    `limits.dead_after` are answers.
    """
    gateway = seen.gateway
    reasons = [why for why in (_in_a_row(plan, seen), _unanswered(seen), _silent(plan, seen), _sick(plan, gateway)) if why]
    evidence = {"failed_in_a_row": seen.failed_in_a_row, "gateway": None if gateway is None else gateway.model_dump(mode="json")}
    if reasons:
        return Verdict(check="servers", outcome=Outcome.FAIL, reason="; ".join(reasons), evidence=evidence)
    if gateway is None or "gateway" in seen.silent:
        why = seen.silent.get("gateway", "the gateway was not asked yet")
        return Verdict(check="servers", outcome=Outcome.INCONCLUSIVE, reason=why, evidence=evidence)
    pool = gateway.challenger
    told = f"{pool.healthy} of {pool.hosts} healthy, {pool.answered} requests answered, {pool.waiting} wait"
    return Verdict(check="servers", outcome=Outcome.PASS, reason=told, evidence=evidence)


def failures_that_show(plan: Plan, seen: Measurement) -> int:
    """How many failures in a row show a dead challenger (k above)."""
    rate = (seen.champion_errors + 1) / (seen.champion_requests + 50)
    if rate >= 1:
        return FEWEST_FAILED if not seen.champion_requests else seen.requests + 1
    before = seen.requests - seen.failed_in_a_row
    needed = (math.log(1 / plan.alpha) + 2 * math.log(before + 1)) / -math.log(rate)
    return max(FEWEST_FAILED, math.ceil(needed))


def _in_a_row(plan: Plan, seen: Measurement) -> str:
    if seen.failed_in_a_row < failures_that_show(plan, seen):
        return ""
    return f"the last {seen.failed_in_a_row} requests failed in a row"


def _unanswered(seen: Measurement) -> str:
    probes = seen.probes
    if probes is None or not seen.failed_in_a_row or probes.failed < max(FEWEST_FAILED, probes.asked):
        return ""
    if seen.champion_requests and 2 * seen.champion_errors > seen.champion_requests:
        return ""  # what fails both is not the challenger's
    return f"the newest request and all {probes.asked} probes of its servers failed"


def _silent(plan: Plan, seen: Measurement) -> str:
    gateway = seen.gateway
    if gateway is None or gateway.challenger.waiting < FEWEST_WAITING:
        return ""
    answers = (gateway.champion.answered if gateway.champion else 0) - gateway.champion_then
    quiet = gateway.at - gateway.quiet_since
    usual = (seen.times.get("champion", Sketch()).quantile(0.99) or 0.0) / 1e6
    if quiet < max(plan.limits.dead_after.total_seconds(), _TIMES_P99 * usual) or answers < _CHAMPION_ANSWERS:
        return ""
    return f"no answer for {quiet:.1f} s while {gateway.challenger.waiting} requests wait and the champion answered {answers}"


def _sick(plan: Plan, gateway: GatewayEvidence | None) -> str:
    if gateway is None or gateway.sick_since is None or gateway.champion is None or not gateway.champion.healthy:
        return ""
    lasted = gateway.at - gateway.sick_since
    if lasted < plan.limits.dead_after.total_seconds():
        return ""
    return f"none of its {gateway.challenger.hosts} servers is healthy, for {lasted:.1f} s"
