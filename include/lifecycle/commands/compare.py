"""`cli compare MODEL A B`: two versions side by side, by what was recorded when they were registered."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.numbers import version_number
from include.lifecycle.commands.tables import aligned
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.registry.comparing import Comparison

_PARTS = ("identity", "params", "features", "data", "digests", "spec", "environment")


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "show two versions side by side: metrics, parameters, features, data, digests, settings that differ"
    parser = subparsers.add_parser("compare", help=text, description=f"{text}. Exit code 0: shown, 2: an error.")
    parser.add_argument("model")
    parser.add_argument("first", type=version_number, metavar="A", help="MLflow's version number")
    parser.add_argument("second", type=version_number, metavar="B", help="MLflow's version number")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Compare and print."""
    from include.lifecycle.registry.comparing import compare_versions
    from include.lifecycle.runtime import build_runtime

    found = compare_versions(build_runtime(settings), arguments.model, arguments.first, arguments.second)
    print(found.model_dump_json() if arguments.json else "\n".join(_lines(found)))
    return 0


def _lines(found: Comparison) -> list[str]:
    heads = tuple(f"VERSION {version}" for version in found.versions)
    rows = "the same hold-out rows" if found.same_holdout else "different hold-out rows: read both columns on their own"
    lines = [f"{found.model}: metrics are of {rows}", ""]
    lines += aligned([("METRIC", *heads, "CHANGE"), *(_metric(name, *pair) for name, pair in found.metrics.items())])
    for part in _PARTS:
        pairs = getattr(found, part)
        if pairs:
            told = [(name, str(one), str(two)) for name, (one, two) in pairs.items()]
            lines += ["", *aligned([(part.upper(), *heads), *told], widest=60)]
    return lines


def _metric(name: str, one: float | None, two: float | None) -> tuple[str, ...]:
    change = f"{two - one:+.6f}" if one is not None and two is not None else "-"
    return (name, *("-" if value is None else f"{value:.6f}" for value in (one, two)), change)
