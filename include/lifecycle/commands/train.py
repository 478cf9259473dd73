"""`cli train MODEL`: start a training through Airflow's REST API, or with `--local` run the same stages in plain processes."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.lifecycle.commands.outcomes import NO, OK, evaluation_record, write_record
from include.lifecycle.commands.quiet import quiet_dvc
from include.lifecycle.commands.source_option import add_source_option, source_of
from include.lifecycle.errors import LifecycleError, TrainingRefusedError
from include.lifecycle.loading import load_model
from include.lifecycle.units import parse_duration
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.results import Evaluation, RegisteredVersion
    from include.lifecycle.spec import ModelSpec

_ENDS = "Exit code 0: started (with --wait or --local: it may be rolled out), 1: refused, or the gates say no, 2: an error."
_POLL = 2.0


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "train a model through Airflow, or in this process"
    parser = subparsers.add_parser("train", help=text, description=f"{text}. {_ENDS}")
    parser.add_argument("model")
    parser.add_argument("--reason", default="", help="why; it stands in the ledger and with the version")
    parser.add_argument("--method", help="training method instead of the YAML's")
    parser.add_argument("--trials", type=int, help="Optuna trials instead of the YAML's")
    parser.add_argument("--data", metavar="PATH", help="files to train on instead of the source, below MODELOPS_TRAINING_DATA")
    parser.add_argument("--force", action="store_true", help="train although a freeze or the budget says no")
    parser.add_argument("--wait", action="store_true", help="wait for the run's end and tell what became of it")
    parser.add_argument("--timeout", type=_duration, default="2h", metavar="DURATION", help="with --wait: give up waiting (2h)")
    parser.add_argument("--run-id", help="id of the run: the same id again starts nothing new")
    parser.add_argument("--local", action="store_true", help="without Airflow, in plain processes of this machine")
    add_source_option(parser)
    parser.add_argument("--metrics-file", type=Path, metavar="FILE", help="write metrics and verdicts there, for check-quality")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Train, and say what came of it."""
    from include.lifecycle.training.conf import read_conf

    if arguments.metrics_file and not (arguments.wait or arguments.local):
        raise LifecycleError("--metrics-file is written when the training has ended: say --wait or --local")
    spec = load_model(arguments.model, settings=settings)
    said = {name: getattr(arguments, name) for name in ("reason", "method", "trials", "data")}
    conf = {name: value for name, value in said.items() if value} | ({"force": True} if arguments.force else {})
    read_conf(conf | {"trials": arguments.trials}, spec)
    try:
        return (_train_here if arguments.local else _train_in_airflow)(arguments, settings, spec, conf)
    except TrainingRefusedError as problem:
        print(json.dumps({"model": spec.name, "refused": str(problem)}) if arguments.json else f"refused: {problem}")
        return NO


def _train_in_airflow(arguments: argparse.Namespace, settings: Settings, spec: ModelSpec, conf: dict[str, Any]) -> int:
    from include.lifecycle.airflow_api import AirflowApi
    from include.lifecycle.training.remote import follow, start_training

    run_id = arguments.run_id or f"cli__{datetime.now(UTC):%Y%m%dT%H%M%S}__{uuid4().hex[:6]}"
    with AirflowApi(settings) as api:
        dag_id = start_training(api, spec.name, conf, run_id)
        _tell(f"{dag_id} run {run_id}: {settings.airflow_url}/dags/{dag_id}/runs/{run_id}")
        if not arguments.wait:
            print(json.dumps({"model": spec.name, "dag_id": dag_id, "run_id": run_id}) if arguments.json else f"started {run_id}")
            return OK
        judged, registered = follow(api, dag_id, run_id, timeout=arguments.timeout, poll=_POLL, tell=_tell)
    return _conclude(arguments, run_id, judged, registered)


def _train_here(arguments: argparse.Namespace, settings: Settings, spec: ModelSpec, conf: dict[str, Any]) -> int:
    from include.lifecycle.runtime import build_runtime
    from include.lifecycle.training.local import LocalTraining

    quiet_dvc()
    rt = build_runtime(settings)
    try:
        training = LocalTraining(spec, rt, source_of(arguments, spec, settings))
        if arguments.run_id:
            training.run_id = arguments.run_id
        judged, registered = training.train(conf)
    finally:
        rt.engine.dispose()
    _tell(", ".join(f"{task} {seconds:.1f} s" for task, seconds in training.seconds.items()))
    return _conclude(arguments, training.run_id, judged, registered)


def _conclude(arguments: argparse.Namespace, run_id: str, judged: Evaluation, registered: RegisteredVersion) -> int:
    deployable = registered.candidate_id is not None
    if arguments.metrics_file:
        told = {"version": registered.version, "run": run_id}
        write_record(arguments.metrics_file, evaluation_record(registered.model, judged.metrics, judged.verdicts, **told))
    if arguments.json:
        print(json.dumps(registered.model_dump(mode="json") | {"train_run": run_id, "deployable": deployable}))
    else:
        word = "may be rolled out" if deployable else "is not rolled out"
        print(f"registered {registered.model} version {registered.version}: {word}: {registered.reason}")
    return OK if deployable else NO


def _tell(line: str) -> None:
    """Progress goes to standard error, so that standard output holds the result only."""
    print(line, file=sys.stderr, flush=True)


def _duration(text: str) -> Any:
    try:
        return parse_duration(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
