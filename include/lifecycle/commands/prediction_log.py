"""`cli prediction-log MODEL`: what the log holds, where, and what retention would take, and why; `--apply` does it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.tables import aligned
from include.lifecycle.loading import load_model
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.monitoring.log_folder import LogFolder
    from include.lifecycle.monitoring.log_retention import Expiry

HEAD = ("WHERE", "FILES", "ROWS", "MB", "FROM", "TO")
NOT_YET = "not compacted yet"


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "show a model's prediction log: files, rows, places, and what retention would remove now"
    more = "Without --apply nothing is changed. --apply compacts, ships and removes, as the Dag upkeep does every five minutes."
    parser = subparsers.add_parser("prediction-log", help=text, description=f"{text}. {more}")
    parser.add_argument("model")
    parser.add_argument("--dry-run", action="store_true", help="only show (also without this option)")
    parser.add_argument("--apply", action="store_true", help="run compaction, shipping and retention now")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Show the log; with --apply, work on it first. Raises LifecycleError when the database or S3 does not answer."""
    from include.lifecycle.monitoring.compaction import compact_predictions
    from include.lifecycle.monitoring.log_folder import LogFolder
    from include.lifecycle.monitoring.log_retention import plan_expiry
    from include.lifecycle.runtime import build_runtime

    spec, rt = load_model(arguments.model, settings=settings), build_runtime(settings)
    try:
        applied = None
        if arguments.apply and not arguments.dry_run:
            applied = compact_predictions(rt, spec, now=rt.clock.now()).model_dump(mode="json")
        log = LogFolder.of(rt, spec)
        plan = plan_expiry(rt, spec, log.manifest.files, rt.clock.now())
    finally:
        rt.engine.dispose()
    rows = _rows(log)
    if arguments.json:
        print(json.dumps(_plain(rows, plan) | {"destination": log.destination, "applied": applied}))
        return 0
    print("\n".join(aligned([HEAD, *([_cells(row) for row in rows])])) if rows else f"{spec.name} has no prediction log")
    print(
        f"\nretention would remove {len(plan.files)} files with {plan.rows} rows: what is older than {plan.before:%Y-%m-%d %H:%M}"
    )
    print(f"(event time, UTC), since {plan.reason}")
    if applied:
        print(f"applied: {', '.join(f'{name} {value}' for name, value in applied.items())}")
    return 0


def _rows(log: LogFolder) -> list[dict[str, Any]]:
    """One row per place with its files, then the segments that no file holds yet."""
    from include.serving.log_schema import live_segments

    manifest, found = log.manifest, []
    for place in sorted({file.location for file in manifest.files}, key=lambda one: one or ""):
        files = [file for file in manifest.files if file.location == place]
        first = min((file.event_time_min for file in files if file.event_time_min), default=None)
        last = max((file.event_time_max for file in files if file.event_time_max), default=None)
        sizes: dict[str, Any] = {
            "files": len(files),
            "rows": sum(file.rows for file in files),
            "bytes": sum(file.size for file in files),
        }
        found.append({"where": place or str(log.folder)} | sizes | {"first": first, "last": last})
    segments = live_segments(log.folder, manifest.files)
    if segments:
        size = sum(path.stat().st_size for path in segments if path.exists())
        found.append({"where": NOT_YET, "files": len(segments), "rows": None, "bytes": size, "first": None, "last": None})
    return found


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    rows = "?" if row["rows"] is None else str(row["rows"])
    megabytes = f"{row['bytes'] / 1e6:.1f}"
    return (row["where"], str(row["files"]), rows, megabytes, (row["first"] or "-")[:16], (row["last"] or "-")[:16])


def _plain(rows: list[dict[str, Any]], plan: Expiry) -> dict[str, Any]:
    going = [{"name": file.name, "rows": file.rows, "last": file.event_time_max, "where": file.location} for file in plan.files]
    return {"places": rows, "expiry": {"before": plan.before.isoformat(), "reason": plan.reason, "files": going}}
