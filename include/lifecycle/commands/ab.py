"""`cli ab list|show|conclude|start-aa|measure`: A/B and A/A tests, from the command line."""

from __future__ import annotations

import argparse
import getpass
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.lifecycle.commands.outcomes import NO, OK, verdict_lines
from include.lifecycle.commands.source_option import add_source_option, source_of
from include.lifecycle.commands.tables import aligned
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.rollout.experiments.listing import ExperimentStanding
    from include.lifecycle.runtime import Runtime

_ENDS = "Exit code 0: done, 1: there is no such test, or it was refused, 2: an error."
_KINDS = {"ab_test": "A/B", "aa_test": "A/A"}
HEAD = ("MODEL", "TEST", "CHALLENGER", "CHAMPION", "STATE", "DAYS", "SAMPLES", "DIFFERENCE", "VERDICT")


def add_to(subparsers: Any) -> None:
    """Declare the command with its acts."""
    text = "list, look at and conclude A/B tests; start an A/A test"
    parser = subparsers.add_parser("ab", help=text, description=f"{text}. {_ENDS}")
    acts = parser.add_subparsers(metavar="ACT", required=True)
    listed = acts.add_parser("list", help="open tests", description=f"Open tests, newest first. {_ENDS}")
    listed.add_argument("--all", action="store_true", help="the ended ones, too")
    shown = acts.add_parser(
        "show", help="one model's newest test", description=f"Champion against challenger in numbers. {_ENDS}"
    )
    told = acts.add_parser("conclude", help="end a test by hand", description=f"End the model's test with a winner. {_ENDS}")
    told.add_argument("model")
    told.add_argument("--winner", choices=("challenger", "champion"), required=True)
    told.add_argument("--by", default=None, metavar="NAME", help="who, for the ledger (default: the login name)")
    started = acts.add_parser("start-aa", help="the champion against itself", description=f"Start the Dag aa_test. {_ENDS}")
    started.add_argument("model")
    for one in (told, started):
        one.add_argument("--reason", required=True, help="why, for the ledger")
    measured = acts.add_parser(
        "measure", help="measure now, without Airflow", description=f"As the Dag measure_experiments. {_ENDS}"
    )
    for one in (shown, measured):
        one.add_argument("model")
    add_source_option(measured)
    for one, act in ((listed, _list), (shown, _show), (told, _conclude), (started, _start_aa), (measured, _measure)):
        one.add_argument("--json", action="store_true", help="JSON instead of text")
        one.set_defaults(run=run, act=act)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Carry out one act."""
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        return int(arguments.act(arguments, rt))
    finally:
        rt.engine.dispose()


def _list(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.rollout.experiments.listing import experiment_standings

    found = experiment_standings(rt, closed=arguments.all)
    if arguments.json:
        print(json.dumps([one.model_dump(mode="json") for one in found]))
    else:
        print("\n".join(aligned([HEAD, *map(_line, found)], widest=40)) if found else "no test is open")
    return OK


def _show(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.commands.known import known_by_rollouts
    from include.lifecycle.rollout.experiments.listing import experiment_standings

    known_by_rollouts(rt, arguments.model)
    found = experiment_standings(rt, model=arguments.model, closed=True)
    if not found:
        print(json.dumps(None) if arguments.json else f"{arguments.model} has had no A/B test")
        return NO
    print(found[0].model_dump_json() if arguments.json else "\n".join(_told(found[0])))
    return OK


def _conclude(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.commands.known import known_by_rollouts
    from include.lifecycle.errors import GateFailedError
    from include.lifecycle.rollout.steering import answered, steer

    known_by_rollouts(rt, arguments.model)
    by = arguments.by or getpass.getuser()
    try:
        rollout_id = steer(rt, arguments.model, "conclude", by=by, reason=arguments.reason, winner=arguments.winner)
    except GateFailedError as problem:
        print(json.dumps({"refused": str(problem)}) if arguments.json else f"refused: {problem}")
        return NO
    row = answered(rt, rollout_id, 10.0)
    taken = row["command"] is None
    told = {"rollout_id": rollout_id, "state": row["state"], "reason": row["reason"], "taken_up": taken}
    waits = f"nobody drives rollout {rollout_id} now; the command waits in its row"
    print(json.dumps(told) if arguments.json else f"{row['state']}: {row['reason']}" if taken else waits)
    return OK if taken else NO


def _start_aa(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.airflow_api import AirflowApi
    from include.lifecycle.loading import load_model

    load_model(arguments.model, settings=rt.settings)
    run_id = f"cli__{datetime.now(UTC):%Y%m%dT%H%M%S}__{uuid4().hex[:6]}"
    with AirflowApi(rt.settings) as api:
        api.start_run("aa_test", run_id, {"model": arguments.model, "reason": arguments.reason})
    print(json.dumps({"dag_id": "aa_test", "run_id": run_id}) if arguments.json else f"started aa_test run {run_id}")
    return OK


def _measure(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.loading import load_model
    from include.lifecycle.rollout.experiments.measure import measure_experiment

    spec = load_model(arguments.model, settings=rt.settings)
    if measure_experiment(spec, rt, source_of(arguments, spec, rt.settings)) is None:
        print(json.dumps(None) if arguments.json else f"no A/B test of {spec.name} is running")
        return NO
    return _show(arguments, rt)


def _line(found: ExperimentStanding) -> tuple[str, ...]:
    evidence = found.evidence
    samples = "-" if evidence is None else f"{evidence.samples} / {evidence.champion_samples}"
    days = f"{found.elapsed_seconds / 86400:.1f}"
    versions = (str(found.version), "-" if found.champion is None else str(found.champion))
    kind = _KINDS[found.kind]
    return (found.model, kind, *versions, found.state, days, samples, _difference(found), found.verdicts[0].outcome.value)


def _difference(found: ExperimentStanding) -> str:
    evidence = found.evidence
    if evidence is None or evidence.difference is None:
        return "-"
    if evidence.lower is None or evidence.upper is None:
        return f"{evidence.difference:+.4f}"
    return f"{evidence.difference:+.4f} ({evidence.lower:+.4f} to {evidence.upper:+.4f})"


def _told(found: ExperimentStanding) -> list[str]:
    """Champion and challenger side by side, the checks, and what was agreed."""
    against = "itself" if found.kind == "aa_test" else f"champion {found.champion}"
    lines = [f"{_KINDS[found.kind]} test of {found.model}: version {found.version} against {against}, {found.state}"]
    lines += [found.reason, ""]
    if found.evidence is not None:
        rows = [("METRIC", "CHALLENGER", "SAMPLES", "CHAMPION", "SAMPLES", "DIFFERENCE", "LOWER", "UPPER")]
        for one in found.evidence.detail["metrics"]:
            arms = [(_number(one[arm]["mean"]), str(one[arm]["samples"])) for arm in ("challenger", "champion")]
            rows.append((one["name"], *arms[0], *arms[1], *(_number(one[name]) for name in ("difference", "lower", "upper"))))
        lines += [*aligned(rows), ""]
    lines += [*verdict_lines(found.verdicts), ""]
    agreed = {name: value for name, value in found.agreed.items() if value is not None and not isinstance(value, dict)}
    lines.append("agreed before: " + ", ".join(f"{name} {value}" for name, value in agreed.items()))
    report = found.evidence.detail.get("report") if found.evidence else None
    return [*lines, f"report: {report}"] if report else lines


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
