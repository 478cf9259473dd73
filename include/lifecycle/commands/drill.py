"""`cli drill`: break a scratch model's canary on purpose and measure the way back; `--last` shows the newest figures."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.rollout.drills.report import DrillReport

CODES = {"pass": 0, "fail": 1, "inconclusive": 3}


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "break a scratch model's canary on purpose and measure how its traffic comes back (RTO), and the backup's age (RPO)"
    codes = "No model's traffic is touched. Exit code 0: within both bounds, 1: a bound missed, 3: no backup, or no drill."
    parser = subparsers.add_parser("drill", help=text, description=f"{text}. {codes}")
    parser.add_argument("--last", action="store_true", help="only show the newest drill's figures")
    parser.add_argument("--json", action="store_true", help="one JSON object, for scripts")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run a drill here, or show the last one."""
    from include.lifecycle.rollout.drills.drill import last_drill, run_drill
    from include.lifecycle.runtime import RunContext, build_runtime

    rt = build_runtime(settings)
    try:
        if arguments.last:
            report = last_drill(rt)
        else:
            report = run_drill(rt, RunContext("drill", f"cli__{datetime.now(UTC):%Y%m%dT%H%M%S}", "run_drill", by="cli"))
    finally:
        rt.engine.dispose()
    if report is None:
        print("null" if arguments.json else "there was no drill yet")
        return CODES["inconclusive"]
    print(report.model_dump_json() if arguments.json else "\n".join(in_words(report)))
    return CODES[report.verdict]


def in_words(report: DrillReport) -> list[str]:
    """The figures, line by line."""
    age = "none" if report.backup_age is None else f"{report.backup_age / 3600:.1f} h old"
    return [
        f"drill of {report.at:%Y-%m-%d %H:%M} UTC: {report.verdict}",
        f"breach to detection   {report.detection:7.2f} s",
        f"detection to decision {report.decision:7.2f} s",
        f"decision to 0 %       {report.traffic:7.2f} s",
        f"breach to recovery    {report.recovery:7.2f} s",
        f"requests              {report.requests}, {report.failed} failed",
        f"newest backup         {age}",
        report.reason,
    ]
