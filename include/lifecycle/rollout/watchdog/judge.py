"""When the watchdog takes a version's traffic away: its lease lapsed during a stage, or a hard limit broke. Nothing here acts.

It counts the gateway's log by the driver's own functions, from the moment at which it saw the present weights in force.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from include.lifecycle.rollout.judging.checks import SLOW_SHARE, judge_share
from include.lifecycle.rollout.judging.measurements import measure, start_of_step
from include.lifecycle.rollout.judging.server_check import check_servers
from include.lifecycle.rollout.judging.shares import judge_errors
from include.lifecycle.rollout.states import Plan, Status
from include.lifecycle.rollout.watchdog.journal import CanaryLease
from include.lifecycle.units import format_duration
from include.lifecycle.verdicts import Verdict


def in_a_stage(plan: Plan, share: int) -> bool:
    """Whether `share` percent of the traffic is a stage's, not the bake's: only a stage's weight is lent."""
    return 0 < share < 100 or (share == 100 and any(stage.percent == share for stage in plan.stages))


def why_lapsed(lease: CanaryLease, share: int, now: float, gateway_started: float = 0.0) -> str:
    """Why the share is given back because nobody drives; empty while somebody does. Times are epoch seconds.

    While the gateway was down no traffic flowed, so a lease runs at least one term from the gateway's start.
    """
    term = lease.plan.lease.total_seconds()
    if now < max(lease.until, gateway_started + term) or not in_a_stage(lease.plan, share):
        return ""
    since = f"{now - lease.until:.0f} s after its lease of {format_duration(lease.plan.lease)} ended"
    return f"nobody drives rollout {lease.rollout_id}, {since}, and version {lease.plan.version} had {share} %"


@dataclass
class Watch:
    """One rollout's requests since its present weights came into force; `broken_since` is when a limit was first seen broken."""

    share: int = -1
    status: Status = field(default_factory=Status)
    broken_since: float | None = None

    def follow(self, lease: CanaryLease, share: int, log: Path, ports: dict[int, tuple[int, ...]]) -> None:
        """Count the new lines of the gateway's log; another share begins anew."""
        if share != self.share:
            self.share, self.broken_since = share, None
            self.status = Status(cursor=start_of_step(log, time.time()))
            return
        seen, cursor = measure(lease.plan, self.status, log, ports)
        self.status = self.status.model_copy(update={"measurement": seen, "cursor": cursor})

    def why_broken(self, lease: CanaryLease, now: float, grace: float) -> str:
        """Which hard limit has stood broken for `grace` seconds (the driver acts first); empty when none has."""
        failed = [verdict for verdict in self._verdicts(lease.plan) if verdict.failed]
        if not failed:
            self.broken_since = None
            return ""
        self.broken_since = now if self.broken_since is None else self.broken_since
        if now - self.broken_since < grace:
            return ""
        return "; ".join(f"{one.check} fail: {one.reason}" for one in failed)

    def _verdicts(self, plan: Plan) -> list[Verdict]:
        """The hard limits and the failures in a row, as the driver judges them; smaller harm is the driver's to find."""
        if self.share <= 0:
            return []
        seen = self.status.measurement
        slow = judge_share("latency", seen.slow, seen.timed, SLOW_SHARE, plan.alpha)
        return [judge_errors(plan, seen), check_servers(plan, seen), *([slow] if self.share < 100 else [])]
