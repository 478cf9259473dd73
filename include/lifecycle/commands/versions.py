"""`cli versions MODEL`: the version history of a model as the registry holds it, newest first."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.tables import aligned
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.registry.version_history import HistoryEvent, RegisteredEntry

HEAD = (
    "VERSION",
    "SEMVER",
    "STAGE",
    "ALIASES",
    "ALGORITHM",
    "METRIC",
    "FIT UNTIL (UTC)",
    "CAUSE",
    "SNAPSHOT",
    "REGISTERED (UTC)",
)
EVENTS_HEAD = ("AT (UTC)", "KIND", "ACT", "STAGES", "ACTOR", "REASON")
INCOMPLETE = "(unfinished)"


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("versions", help="show a model's versions, newest first: stage, metric, cause, snapshot")
    parser.add_argument("model")
    parser.add_argument("--history", action="store_true", help="what happened to them instead, oldest first, from the ledger")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Read the registry and print it."""
    from include.lifecycle.registry.version_history import version_history
    from include.lifecycle.runtime import build_runtime

    if arguments.history:
        return _history(arguments, settings)
    entries = version_history(build_runtime(settings), arguments.model)
    if arguments.json:
        print("".join(f"{entry.model_dump_json()}\n" for entry in entries), end="")
    elif entries:
        print("\n".join(aligned([HEAD, *map(_line, entries)])))
    else:
        print(f"{arguments.model} has no versions")
    return 0


def _history(arguments: argparse.Namespace, settings: Settings) -> int:
    from include.lifecycle.registry.version_history import model_events
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        events = model_events(rt, arguments.model)
    finally:
        rt.engine.dispose()
    if arguments.json:
        print("".join(f"{event.model_dump_json()}\n" for event in events), end="")
    elif events:
        print("\n".join(aligned([EVENTS_HEAD, *map(_event, events)], widest=60)))
    else:
        print(f"nothing happened to versions of {arguments.model} yet")
    return 0


def _event(event: HistoryEvent) -> tuple[str, ...]:
    moved = ", ".join(f"{version}: {before} > {after}" for version, (before, after) in event.stages.items())
    judged = f": {event.verdict}" if event.verdict else ""
    act = f"{event.act}{judged}" + ("" if event.phase in ("done", "noted") else f" ({event.phase})")
    return (_minute(event.at), event.kind, act, moved or "-", event.actor, " ".join(event.reason.split()))


def _line(entry: RegisteredEntry) -> tuple[str, ...]:
    metric = f"{entry.metric} {entry.metric_value:.4f}" if entry.metric and entry.metric_value is not None else "-"
    stage = entry.stage if entry.complete else f"{entry.stage} {INCOMPLETE}"
    named = (entry.algorithm or "-", metric, _minute(entry.fit_until), entry.cause or "-", entry.snapshot_id or "-")
    return (str(entry.version), entry.semver or "-", stage, ", ".join(entry.aliases) or "-", *named, _minute(entry.registered_at))


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"
