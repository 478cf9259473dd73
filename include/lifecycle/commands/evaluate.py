"""`cli evaluate MODEL VERSION`: score a version on rows that it has not seen; `--run RUN`: what a training's gates said."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.ledger import moment
from include.lifecycle.commands.outcomes import CODES, TOLD, verdict_lines
from include.lifecycle.commands.source_option import add_source_option, source_of
from include.lifecycle.errors import LifecycleError
from include.lifecycle.loading import load_model
from include.lifecycle.verdicts import Verdict, worst
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
    what.add_argument("version", type=int, nargs="?", help="MLflow's version number")
    what.add_argument("--run", metavar="RUN", help="id of a train run: its verdicts, from the ledger")
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
        told = _afresh(arguments, spec, rt) if arguments.run is None else _recorded(rt, spec.name, arguments.run)
    finally:
        rt.engine.dispose()
    verdicts = [Verdict.model_validate(plain) for plain in told["verdicts"]]
    outcome = worst(verdicts)
    told |= {"outcome": outcome.value}
    if arguments.metrics_file:
        _write(arguments.metrics_file, told)
    if arguments.json:
        print(json.dumps(told))
    else:
        values = [f"{name} {value:.4f}" for name, value in sorted(told["metrics"].items())]
        print("\n".join([_head(told), "", *verdict_lines(verdicts), "", *values, "", f"evaluation: {outcome.value}"]))
    return CODES[outcome]


def _afresh(arguments: argparse.Namespace, spec: ModelSpec, rt: Runtime) -> dict[str, Any]:
    """What the version shows on rows that it has not seen, JSON-plain."""
    from include.lifecycle.evaluation.afresh import evaluate_version

    url = source_of(arguments, spec, rt.settings)
    found = evaluate_version(spec, rt, url, arguments.version, start=arguments.start, end=arguments.end)
    told = {"model": spec.name, "version": found.version, "rows": found.rows, "metrics": found.metrics}
    told |= {"from": found.start.isoformat(), "to": found.end.isoformat()}
    return told | {"verdicts": [verdict.model_dump(mode="json") for verdict in found.verdicts]}


def _recorded(rt: Runtime, model: str, run_id: str) -> dict[str, Any]:
    """What the gates of a train run said, from the ledger's newest entry of it."""
    for entry in rt.ledger.read(model, kind="gate", limit=_NEWEST):
        evidence = entry["evidence"]
        if entry["run_id"] == run_id and "verdicts" in evidence:
            told = {"model": model, "run": run_id, "metrics": evidence["metrics"], "verdicts": evidence["verdicts"]}
            rows = (verdict["evidence"].get("rows") for verdict in evidence["verdicts"])
            return told | {"rows": next((count for count in rows if count is not None), None)}
    raise LifecycleError(f"{model}: the ledger's newest {_NEWEST} gate entries hold no evaluation of run {run_id!r}")


def _head(told: dict[str, Any]) -> str:
    if "run" in told:
        return f"{told['model']}, train run {told['run']}"
    return f"{told['model']} version {told['version']} on {told['rows']} rows from {told['from']} to {told['to']}"


def _write(path: Path, plain: dict[str, Any]) -> None:
    from include.lifecycle.storage import write_whole

    try:
        write_whole(path, json.dumps(plain, indent=1) + "\n")
    except OSError as problem:
        raise LifecycleError(f"--metrics-file {path} cannot be written: {problem}") from problem
