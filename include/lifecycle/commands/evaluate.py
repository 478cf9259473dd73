"""`cli evaluate MODEL VERSION`: score a version on rows that it has not seen; `--run RUN`: what a training's gates said."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.ledger import moment
from include.lifecycle.commands.numbers import version_number
from include.lifecycle.commands.outcomes import CODES, TOLD, evaluation_record, verdict_lines, write_record
from include.lifecycle.commands.source_option import add_source_option, source_of
from include.lifecycle.errors import LifecycleError
from include.lifecycle.loading import load_model
from include.lifecycle.verdicts import Outcome, Verdict
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.runtime import Runtime
    from include.lifecycle.spec import ModelSpec

_NEWEST = 1000


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "score a version on rows that it has not learnt from, or show what a training's gates said; changes nothing"
    parser = subparsers.add_parser("evaluate", help=text, description=f"{text}. {TOLD}")
    parser.add_argument("model")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("version", type=version_number, nargs="?", help="MLflow's version number")
    what.add_argument("--run", dest="train_run", metavar="RUN", help="id of a train run: its verdicts, from the ledger")
    parser.add_argument(
        "--from", dest="start", type=moment, metavar="TIME", help="event time from which on (default: all unseen)"
    )
    parser.add_argument("--to", dest="end", type=moment, metavar="TIME", help="event time before which (default: mature labels)")
    add_source_option(parser)
    parser.add_argument("--metrics-file", type=Path, metavar="FILE", help="write metrics and verdicts there, for check-quality")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Evaluate and print."""
    from include.lifecycle.runtime import build_runtime

    spec = load_model(arguments.model, settings=settings)
    rt = build_runtime(settings)
    try:
        told = _afresh(arguments, spec, rt) if arguments.train_run is None else _recorded(rt, spec.name, arguments.train_run)
    finally:
        rt.engine.dispose()
    if arguments.metrics_file:
        write_record(arguments.metrics_file, told)
    if arguments.json:
        print(json.dumps(told))
    else:
        lines = verdict_lines([Verdict.model_validate(plain) for plain in told["verdicts"]])
        values = [f"{name} {value:.4f}" for name, value in sorted(told["metrics"].items())]
        print("\n".join([_head(told), "", *lines, "", *values, "", f"evaluation: {told['outcome']}"]))
    return CODES[Outcome(told["outcome"])]


def _afresh(arguments: argparse.Namespace, spec: ModelSpec, rt: Runtime) -> dict[str, Any]:
    """What the version shows on rows that it has not seen."""
    from include.lifecycle.evaluation.afresh import evaluate_version

    url = source_of(arguments, spec, rt.settings)
    found = evaluate_version(spec, rt, url, arguments.version, start=arguments.start, end=arguments.end)
    span = {"from": found.start.isoformat(), "to": found.end.isoformat()}
    return evaluation_record(spec.name, found.metrics, found.verdicts, version=found.version, rows=found.rows, **span)


def _recorded(rt: Runtime, model: str, run_id: str) -> dict[str, Any]:
    """What the gates of a train run said, from the ledger's newest entry of it."""
    for entry in rt.ledger.read(model, kind="gate", limit=_NEWEST):
        evidence = entry["evidence"]
        if entry["run_id"] == run_id and "verdicts" in evidence:
            verdicts = [Verdict.model_validate(plain) for plain in evidence["verdicts"]]
            return evaluation_record(model, evidence["metrics"], verdicts, run=run_id)
    raise LifecycleError(f"{model}: the ledger's newest {_NEWEST} gate entries hold no evaluation of run {run_id!r}")


def _head(told: dict[str, Any]) -> str:
    if "run" in told:
        return f"{told['model']}, train run {told['run']}"
    return f"{told['model']} version {told['version']} on {told['rows']} rows from {told['from']} to {told['to']}"
