"""`cli versions MODEL`: the version history of a model as the registry holds it, newest first."""

from __future__ import annotations

import argparse
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.tables import aligned
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.registry.version_history import RegisteredEntry

HEAD = ("VERSION", "STAGE", "ALIASES", "ALGORITHM", "METRIC", "FIT UNTIL (UTC)", "CAUSE", "SNAPSHOT", "REGISTERED (UTC)")
INCOMPLETE = "(unfinished)"


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("versions", help="show a model's versions, newest first: stage, metric, cause, snapshot")
    parser.add_argument("model")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Read the registry and print it."""
    from include.lifecycle.registry.version_history import version_history
    from include.lifecycle.runtime import build_runtime

    entries = version_history(build_runtime(settings), arguments.model)
    if arguments.json:
        print("".join(f"{entry.model_dump_json()}\n" for entry in entries), end="")
    elif entries:
        print("\n".join(aligned([HEAD, *map(_line, entries)])))
    else:
        print(f"{arguments.model} has no versions")
    return 0


def _line(entry: RegisteredEntry) -> tuple[str, ...]:
    metric = f"{entry.metric} {entry.metric_value:.4f}" if entry.metric and entry.metric_value is not None else "-"
    stage = entry.stage if entry.complete else f"{entry.stage} {INCOMPLETE}"
    named = (entry.algorithm or "-", metric, _minute(entry.fit_until), entry.cause or "-", entry.snapshot_id or "-")
    return (str(entry.version), stage, ", ".join(entry.aliases) or "-", *named, _minute(entry.registered_at))


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "-"
