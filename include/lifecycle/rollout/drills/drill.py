"""The drill: a scratch model's canary is broken on purpose under traffic, and the way back is measured with the real parts.

Real are driver, state machine, model servers, gateway, database and ledger; the registry is not asked. It also looks how old the
newest backup is. Whatever it puts into the world is taken away again (drills/traces.py).
"""

from __future__ import annotations

from uuid import uuid4

from include.lifecycle.alerting.events import end_event, tell_event
from include.lifecycle.alerting.kinds import DRILL_FAILED, PLATFORM
from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.rollout.drills.report import DrillReport, judged
from include.lifecycle.rollout.drills.run import DrillRun
from include.lifecycle.rollout.drills.traces import PREFIX, only_drill, remove_traces
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.lifecycle.rollout.ways_back.freezing import ALL, frozen_reason
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.verdicts import Outcome

NAME = KIND = "drill"
"""The ledger's model and kind of a drill's figures."""


def run_drill(rt: Runtime, run: RunContext, *, target: EmbeddedTarget | None = None) -> DrillReport:
    """Break a canary, measure, take everything away, and note the figures in the ledger. Takes about half a minute.

    Raises:
        GateFailedError: another drill runs, everything is frozen, or the traffic did not come back.
        SourceUnavailableError: gateway, database or supervisord did not answer; what was left is swept by reconcile.
    """
    with transaction(rt.engine) as connection:
        if frozen := frozen_reason(connection, ALL):
            raise GateFailedError(f"no drill now: {frozen}")
    model, used = f"{PREFIX}{uuid4().hex[:8]}", target or EmbeddedTarget(rt)
    with only_drill(rt):
        try:
            report = DrillRun(rt, run, model, used).measure()
        finally:
            remove_traces(rt, model, used)
    report = judged(rt, report)
    _note(rt, run, report)
    return report


def last_drill(rt: Runtime) -> DrillReport | None:
    """The newest drill's figures; None when there never was one."""
    rows = rt.ledger.read(NAME, kind=KIND, limit=1)
    return DrillReport.model_validate(rows[0]["evidence"]) if rows else None


def _note(rt: Runtime, run: RunContext, report: DrillReport) -> None:
    entry = Entry(
        model=NAME,
        kind=KIND,
        act="run drill",
        reason=report.reason,
        actor=run.actor,
        verdict=Outcome(report.verdict),
        run_id=run.run_id,
        evidence=report.model_dump(mode="json"),
    )
    failed = report.verdict == "fail"
    with transaction(rt.engine) as connection:
        rt.ledger.write(entry, connection)
        told = {"key": "newest", "reason": report.reason, "actor": run.actor}
        (tell_event if failed else end_event)(connection, rt, DRILL_FAILED, PLATFORM, **told)
