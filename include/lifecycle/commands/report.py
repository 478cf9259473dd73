"""`cli report MODEL|--fleet`: the daily, weekly, monthly or quarterly report of a model or of all, now."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.reporting.periodic.period import KINDS, Period, chosen_period
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.reporting.periodic.figures import Figures
    from include.lifecycle.runtime import Runtime
    from include.lifecycle.spec import ModelSpec


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "write the report of a model, or of all, about a day, week, month or quarter (HTML)"
    more = "By default of the newest period that is over. Exit code 0: written, 2: an error."
    parser = subparsers.add_parser("report", help=text, description=f"{text}. {more}")
    about = parser.add_mutually_exclusive_group(required=True)
    about.add_argument("model", nargs="?", metavar="MODEL", help="a model's name")
    about.add_argument("--fleet", action="store_true", help="of all models with a valid YAML")
    parser.add_argument("--kind", choices=KINDS, default="weekly", help="default: weekly")
    parser.add_argument("--at", default="", metavar="TIME", help="the period that holds this time, also one that is not over")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write it there, - for standard output (default: storage/reports)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the figures instead, one JSON object a model; nothing is written"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Build, then store or print."""
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        _tell(arguments, rt, chosen_period(arguments.kind, arguments.at, rt.clock.now()))
    finally:
        rt.engine.dispose()
    return 0


def _tell(arguments: argparse.Namespace, rt: Runtime, period: Period) -> None:
    if arguments.output is None and not arguments.json:
        print(f"wrote {_store(arguments, rt, period)}")
        return
    page, figures = _build(arguments, rt, period)
    if arguments.json:
        print("".join(json.dumps(one.model_dump(mode="json")) + "\n" for one in figures), end="")
    elif str(arguments.output) == "-":
        print(page, end="")
    else:
        from include.lifecycle.storage import write_whole

        write_whole(arguments.output, page)
        print(f"wrote {arguments.output}")


def _store(arguments: argparse.Namespace, rt: Runtime, period: Period) -> Path:
    from include.lifecycle.loading import load_model
    from include.lifecycle.reporting.periodic.writing import write_fleet_report, write_model_report

    if arguments.fleet:
        return write_fleet_report(_all(rt), rt, period).path
    return write_model_report(load_model(arguments.model, settings=rt.settings), rt, period).path


def _build(arguments: argparse.Namespace, rt: Runtime, period: Period) -> tuple[str, list[Figures]]:
    from include.lifecycle.loading import load_model
    from include.lifecycle.reporting.periodic.writing import fleet_page, model_page

    if arguments.fleet:
        return fleet_page(_all(rt), rt, period)
    page, figures = model_page(load_model(arguments.model, settings=rt.settings), rt, period)
    return page, [figures]


def _all(rt: Runtime) -> list[ModelSpec]:
    """Every valid model; a broken YAML is told on standard error and left out."""
    from include.lifecycle.loading import load_all

    models = load_all(settings=rt.settings)
    for name, problem in models.broken.items():
        print(f"left out: {name}: {problem}", file=sys.stderr)
    return list(models.values())
