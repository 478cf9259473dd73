"""`cli log-model MODEL FILE`: register a model that was trained elsewhere, through the same gates as a training here."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from include.lifecycle.commands.ledger import moment
from include.lifecycle.commands.outcomes import NO, OK, verdict_lines
from include.lifecycle.commands.quiet import quiet_dvc
from include.lifecycle.commands.source_option import add_source_option, source_of
from include.lifecycle.errors import TrainingRefusedError
from include.lifecycle.loading import load_model
from include.settings import Settings

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,48}$")


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "register a model file (skops) that was trained elsewhere"
    ends = "Exit code 0: it may be rolled out, 1: refused, or the gates say no, 2: an error (a pickle, too)."
    parser = subparsers.add_parser("log-model", help=text, description=f"{text}, judged by the model's own gates. {ends}")
    parser.add_argument("model")
    parser.add_argument("file", type=Path, help="the fitted scikit-learn object, written by skops.io.dump")
    parser.add_argument("--fit-until", required=True, type=moment, metavar="TIME", help="newest event time that it learnt from")
    parser.add_argument("--algorithm", required=True, type=_algorithm, help="its family, such as logistic_regression")
    parser.add_argument(
        "--metrics", type=Path, metavar="FILE", help="JSON with metrics of the foreign training, kept with the run"
    )
    parser.add_argument("--reason", default="", help="why; it stands in the ledger and with the version")
    parser.add_argument("--force", action="store_true", help="register although a freeze or the budget says no")
    add_source_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Register, and print the verdicts."""
    from include.lifecycle.evaluation.quality import read_metrics
    from include.lifecycle.registry.external import ExternalModel, check_file, log_model
    from include.lifecycle.runtime import build_runtime
    from include.lifecycle.training.local import LocalTraining

    check_file(arguments.file)
    spec = load_model(arguments.model, settings=settings)
    url = source_of(arguments, spec, settings)
    metrics = read_metrics(arguments.metrics).metrics if arguments.metrics else {}
    brought = ExternalModel(arguments.file, arguments.fit_until, arguments.algorithm, metrics)
    quiet_dvc()
    rt = build_runtime(settings)
    try:
        conf = {"reason": arguments.reason or f"trained elsewhere: {arguments.file.name}", "force": arguments.force}
        judged, registered = log_model(LocalTraining(spec, rt, url), brought, conf)
    except TrainingRefusedError as problem:
        print(json.dumps({"model": spec.name, "refused": str(problem)}) if arguments.json else f"refused: {problem}")
        return NO
    finally:
        rt.engine.dispose()
    deployable = registered.candidate_id is not None
    if arguments.json:
        verdicts = [verdict.model_dump(mode="json") for verdict in judged.verdicts]
        print(json.dumps(registered.model_dump(mode="json") | {"deployable": deployable, "verdicts": verdicts}))
    else:
        word = "may be rolled out" if deployable else "is not rolled out"
        print("\n".join(verdict_lines(judged.verdicts)))
        print(f"\nregistered {registered.model} version {registered.version}: {word}: {registered.reason}")
    return OK if deployable else NO


def _algorithm(text: str) -> str:
    if not _NAME.match(text):
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: lower-case letters, digits and _")
    return text
