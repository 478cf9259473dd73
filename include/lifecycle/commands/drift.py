"""`cli drift MODEL VERSION --query FILE`: how far a query's rows lie from a version's reference, counted in their database."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.numbers import version_number
from include.lifecycle.commands.outcomes import CODES
from include.lifecycle.commands.source_option import add_source_option, source_of
from include.lifecycle.errors import LifecycleError, SettingsError
from include.lifecycle.loading import load_model
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.monitoring.counting.table_drift import TableDrift


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "tell how far a query's rows lie from what a version was trained on; counted in the database, nothing is stored"
    codes = "Exit code 0: no column drifted, 1: some did, 2: an error, 3: too few rows to tell."
    parser = subparsers.add_parser("drift", help=text, description=f"{text}. {codes}")
    parser.add_argument("model")
    parser.add_argument("version", type=version_number, help="MLflow's version number")
    parser.add_argument("--query", type=Path, required=True, metavar="FILE", help="a file with one SELECT of the rows")
    add_source_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object with all verdicts")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Count, judge and print."""
    from include.lifecycle.monitoring.counting.table_drift import table_drift
    from include.lifecycle.monitoring.monitor import usable_profiles
    from include.lifecycle.runtime import build_runtime

    spec = load_model(arguments.model, settings=settings)
    query, rt = _query(arguments.query), build_runtime(settings)
    try:
        url = source_of(arguments, spec, settings)
        if url is None:
            raise SettingsError(f"{spec.name} reads files; name the database of the rows: --url")
        profile = usable_profiles(rt, spec.name)(arguments.version)
        if profile is None:
            raise LifecycleError(f"{spec.name} version {arguments.version} has no usable reference profile")
        found = table_drift(spec, profile, url, query, version=arguments.version)
    finally:
        rt.engine.dispose()
    print(json.dumps(found.plain()) if arguments.json else "\n".join(_lines(spec.name, found)))
    return CODES[found.outcome]


def _query(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip().removesuffix(";").strip()
    except OSError as problem:
        raise SettingsError(f"--query {path}: {problem}") from problem
    if not text or ";" in text:
        raise SettingsError(f"--query {path}: got {'an empty file' if not text else 'several statements'}; allowed: one SELECT")
    return text


def _lines(model: str, found: TableDrift) -> list[str]:
    drifted = sum(verdict.failed for verdict in found.verdicts)
    told = [f"{model} version {found.version}, {found.rows} rows: {drifted} of {len(found.verdicts)} columns drifted"]
    told += [f"  {one.outcome.value} {one.check}: {one.reason}" for one in found.verdicts if not one.passed]
    return told + ([f"  not in the query: {', '.join(found.missing)}"] if found.missing else [])
