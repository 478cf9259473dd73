"""`cli actuals MODEL`: write what was predicted beside what came of it, row by row, to a file."""

from __future__ import annotations

import argparse
import json
from datetime import UTC
from pathlib import Path
from typing import Any

from include.lifecycle.commands.ledger import moment
from include.lifecycle.commands.source_option import add_source_option, source_of
from include.lifecycle.errors import SettingsError
from include.lifecycle.loading import load_model
from include.settings import Settings

_SUFFIXES = (".parquet", ".csv")


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "write each prediction with its actual value and its latency to a file; changes nothing"
    parser = subparsers.add_parser("actuals", help=text, description=f"{text}. Exit code 0: written, 2: an error.")
    parser.add_argument("model")
    parser.add_argument("--from", dest="start", type=moment, required=True, metavar="TIME", help="event time from which on")
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="event time before which (default: now)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write, .parquet or .csv; must not exist")
    add_source_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the file and say how many rows it has. Raises LifecycleError when a source does not answer or the file exists."""
    from include.lifecycle.data.training_source import Access
    from include.lifecycle.monitoring.outcomes.actuals import write_actuals
    from include.lifecycle.runtime import build_runtime

    out: Path = arguments.out
    if out.suffix not in _SUFFIXES:
        raise SettingsError(f"--out {out}: got {out.suffix or 'no suffix'}; allowed: {', '.join(_SUFFIXES)}")
    if out.exists():
        raise SettingsError(f"--out {out} exists already; name a file that does not")
    if not out.parent.is_dir():
        raise SettingsError(f"--out {out}: there is no folder {out.parent}")
    spec, rt = load_model(arguments.model, settings=settings), build_runtime(settings)
    try:
        access: Access = source_of(arguments, spec, settings)
        end = arguments.end or rt.clock.now()
        if arguments.start >= end:
            raise SettingsError(f"--from {arguments.start:%Y-%m-%d %H:%M} is not before {end.astimezone(UTC):%Y-%m-%d %H:%M}")
        rows, labelled = write_actuals(spec, rt, access, arguments.start, end, out)
    finally:
        rt.engine.dispose()
    told = {"model": spec.name, "file": str(out), "rows": rows, "labelled": labelled}
    print(
        json.dumps(told) if arguments.json else f"wrote {out}: {rows} predictions of {spec.name}, {labelled} with their outcome"
    )
    return 0
