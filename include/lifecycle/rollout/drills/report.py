"""What a drill measured, and whether that is good enough: recovery against the RTO, age of the newest backup against the RPO."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Literal

from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.results import StageResult
from include.lifecycle.runtime import Runtime
from include.lifecycle.units import format_duration


class DrillReport(StageResult):
    """Seconds of wall time: from the breach to the look that saw it (`detection`), from there to the stored decision
    (`decision`), from there to 0 % in the gateway (`traffic`), and from the breach to the closed rollout (`recovery`).

    `requests` and `failed` are the clients'. `backup_age`: seconds, None without a whole backup.
    """

    model: str
    at: datetime
    detection: float
    decision: float
    traffic: float
    recovery: float
    requests: int
    failed: int
    backup_age: float | None = None
    verdict: Literal["pass", "fail", "inconclusive"] = "inconclusive"
    reason: str = ""


def judged(rt: Runtime, report: DrillReport) -> DrillReport:
    """The report with its verdict: fail above a bound or with a damaged backup, inconclusive without any backup."""
    bounds = rt.settings.upkeep
    told = f"traffic was back {report.detection + report.decision + report.traffic:.1f} s after the breach, all was well after "
    told += f"{report.recovery:.1f} s (RTO {format_duration(bounds.recovery_time)}); "
    told += f"{report.failed} of {report.requests} requests failed"
    verdict: Literal["pass", "fail", "inconclusive"] = "pass"
    if timedelta(seconds=report.recovery) > bounds.recovery_time:
        verdict = "fail"
    try:
        age = backup_age(rt)
    except ArtefactDigestError as problem:
        return report.model_copy(update={"verdict": "fail", "reason": f"{told}; the backup is damaged: {problem}"})
    if age is None:
        verdict, told = _worse(verdict, "inconclusive"), f"{told}; there is no backup in {rt.settings.backup_dir}"
    else:
        late = age > bounds.recovery_point
        verdict = _worse(verdict, "fail" if late else "pass")
        told += f"; the newest backup is {age.total_seconds() / 3600:.1f} h old (RPO {format_duration(bounds.recovery_point)})"
    seconds = None if age is None else age.total_seconds()
    return report.model_copy(update={"verdict": verdict, "reason": told, "backup_age": seconds})


def backup_age(rt: Runtime) -> timedelta | None:
    """Age, by event time, of the backup in MODELOPS_BACKUP_DIR, every file of it verified; None when there is none.

    Raises ArtefactDigestError when it is damaged or was not finished.
    """
    from include.lifecycle.registry.backup import ABOUT, check_backup

    folder = rt.settings.backup_dir
    if not (folder / ABOUT).is_file():
        return None
    check_backup(folder)
    made = datetime.fromisoformat(json.loads((folder / ABOUT).read_text(encoding="utf-8"))["made_at"])
    return rt.clock.now() - made


def _worse(
    one: Literal["pass", "fail", "inconclusive"], other: Literal["pass", "fail", "inconclusive"]
) -> Literal["pass", "fail", "inconclusive"]:
    order: tuple[Literal["pass", "fail", "inconclusive"], ...] = ("pass", "inconclusive", "fail")
    return max(one, other, key=order.index)
