"""`cli rollback MODEL --reason ...`: return a model's traffic and champion to its previous version, by Airflow or directly."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.lifecycle.errors import GateFailedError, LifecycleError, SettingsError, SourceUnavailableError
from include.lifecycle.loading import load_model
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.results import RollbackPlan, RolloutOutcome
    from include.lifecycle.spec import ModelSpec

DAG, TASK = "rollback", "roll_back"
DONE, NO = 0, 1
_POLL = 1.0
_ABOUT = """
Traffic goes to the previous champion first and is read back, then the alias moves, then the ledger says why. An open rollout is
ended by it. Starts the Dag `rollback` and follows it; with --direct it acts from here, also when Airflow is down.

Exit code 0: done (with --plan: it could be done); 1: nothing to go back to, its files are nowhere, or the run failed; 2: error.
"""


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "return a model's traffic to its previous version, or to a named one"
    parser = subparsers.add_parser(
        "rollback", help=text, description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--reason", default="", help="why, for the ledger")
    kinds = ("business", "complaint", "regulator", "incident")
    parser.add_argument("--reason-kind", choices=kinds, default="incident", help="what it is about (default incident)")
    parser.add_argument("--to-version", type=int, metavar="N", help="this version instead of the previous champion")
    parser.add_argument("--plan", action="store_true", help="only tell what would be done, and stop")
    parser.add_argument("--direct", action="store_true", help="act from here, without Airflow")
    parser.add_argument("--by", default=None, metavar="NAME", help="with --direct: who, for the ledger (default: the login name)")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS", help="for the Dag's run (default 300)")
    parser.add_argument("--json", action="store_true", help="one JSON object, for scripts")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Plan, act, or start the Dag."""
    spec = load_model(arguments.model, settings=settings)
    if arguments.plan:
        return _plan(arguments, settings, spec)
    if len(arguments.reason.strip()) < 3:
        raise LifecycleError(f"got --reason {arguments.reason!r}; a reason of at least three letters is asked for")
    try:
        return _direct(arguments, settings, spec) if arguments.direct else _by_airflow(arguments, settings, spec)
    except GateFailedError as problem:
        print(json.dumps({"model": spec.name, "refused": str(problem)}) if arguments.json else f"not rolled back: {problem}")
        return NO


def in_words(plan: RollbackPlan) -> list[str]:
    """What a rollback would do, line by line."""
    shares = ", ".join(f"version {version}: {share} %" for version, share in sorted(plan.weights.items())) or "none"
    lines = [f"{plan.model}: traffic now: {shares}"]
    if plan.rollout is not None:
        lines.append(f"ends rollout {plan.rollout}")
    if plan.stops:
        return [*lines, f"then stops: {plan.stops}"]
    return [*lines, f"all traffic and the alias champion from version {plan.leave} to {plan.enter} ({plan.files})"]


def _plan(arguments: argparse.Namespace, settings: Settings, spec: ModelSpec) -> int:
    from include.lifecycle.rollout.ways_back.rollback import plan_rollback
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        plan = plan_rollback(spec, rt, to_version=arguments.to_version)
    finally:
        rt.engine.dispose()
    print(plan.model_dump_json() if arguments.json else "\n".join(in_words(plan)))
    return NO if plan.stops else DONE


def _direct(arguments: argparse.Namespace, settings: Settings, spec: ModelSpec) -> int:
    from include.lifecycle.rollout.ways_back.rollback import Occasion, roll_back_model
    from include.lifecycle.runtime import RunContext, build_runtime

    rt = build_runtime(settings)
    try:
        outcome = roll_back_model(
            spec,
            rt,
            RunContext(spec.name, _run_id(), TASK, by="cli"),
            reason=arguments.reason,
            by=arguments.by or getpass.getuser(),
            to_version=arguments.to_version,
            occasion=Occasion(arguments.reason_kind),
        )
    finally:
        rt.engine.dispose()
    return _told(arguments, outcome)


def _by_airflow(arguments: argparse.Namespace, settings: Settings, spec: ModelSpec) -> int:
    from include.lifecycle.airflow_api import AirflowApi
    from include.lifecycle.results import RolloutOutcome

    run_id, to_version = _run_id(), "" if arguments.to_version is None else str(arguments.to_version)
    conf = {"model": spec.name, "reason": arguments.reason, "reason_kind": arguments.reason_kind, "to_version": to_version}
    try:
        with AirflowApi(settings) as api:
            if api.is_paused(DAG):
                raise LifecycleError(f"the Dag {DAG} is paused: unpause it, or act from here with --direct")
            api.start_run(DAG, run_id, conf)
            print(f"{DAG} run {run_id}: {settings.airflow_url}/dags/{DAG}/runs/{run_id}", file=sys.stderr, flush=True)
            _await(api, run_id, arguments.timeout)
            return _told(arguments, RolloutOutcome.model_validate(api.result(DAG, run_id, TASK)))
    except (SettingsError, SourceUnavailableError) as problem:
        raise LifecycleError(f"{problem}; with --direct the rollback needs no Airflow") from problem


def _await(api: Any, run_id: str, timeout: float) -> None:
    """Until the run has ended well; GateFailedError with its log's end when it failed."""
    deadline = time.monotonic() + timeout
    while (state := api.run_state(DAG, run_id)) not in ("success", "failed"):
        if time.monotonic() > deadline:
            raise LifecycleError(f"run {run_id} is {state} after {timeout:g} s; it goes on by itself")
        time.sleep(_POLL)
    if state == "failed":
        (task,) = api.task_states(DAG, run_id)
        raise GateFailedError(f"run {run_id} failed:\n{api.log_end(DAG, run_id, task)}")


def _told(arguments: argparse.Namespace, outcome: RolloutOutcome) -> int:
    print(outcome.model_dump_json() if arguments.json else f"{outcome.model}: {outcome.state}: {outcome.reason}")
    return DONE


def _run_id() -> str:
    return f"cli__{datetime.now(UTC):%Y%m%dT%H%M%S}__{uuid4().hex[:6]}"
