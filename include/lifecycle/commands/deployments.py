"""`cli deployments [MODEL] [--id N]`: the rollouts of one model or of all, newest first; one of them with its whole history."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.numbers import count
from include.lifecycle.commands.tables import aligned
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.rollout.telling.deployments import Deployment, DeploymentDetail

HEAD = ("ID", "MODEL", "VERSION", "STRATEGY", "STATE", "ENVIRONMENT", "STAGE", "WEIGHTS", "PLANNED (UTC)", "REASON")
EVENTS_HEAD = ("AT (UTC)", "KIND", "ACT", "VERDICT", "WEIGHTS", "ACTOR", "REASON")


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "show the rollouts of one model or of all, newest first; with --id one with its approval and history"
    parser = subparsers.add_parser("deployments", help=text, description=f"{text}. Exit code 1: there is no such rollout.")
    parser.add_argument("model", nargs="?", help="a model's name (default: all models)")
    parser.add_argument("--id", type=int, metavar="NUMBER", help="this rollout of MODEL, with everything about it")
    parser.add_argument("--open", action="store_true", help="only those under way")
    parser.add_argument("--limit", type=count, default=20, help="so many at most (default 20)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Read and print."""
    from include.lifecycle.commands.known import known_by_rollouts
    from include.lifecycle.database import transaction
    from include.lifecycle.rollout.telling.deployments import find_deployment, list_deployments
    from include.lifecycle.runtime import build_runtime

    if arguments.id is not None and arguments.model is None:
        arguments.parser.error("--id needs MODEL")
    rt = build_runtime(settings)
    try:
        if arguments.model is not None:
            known_by_rollouts(rt, arguments.model)
        with transaction(rt.engine) as connection:
            if arguments.id is not None:
                return _one(find_deployment(connection, arguments.model, arguments.id), arguments)
            found = list_deployments(connection, arguments.model, only_open=arguments.open, limit=arguments.limit)
    finally:
        rt.engine.dispose()
    if arguments.json:
        print("".join(f"{one.model_dump_json()}\n" for one in found), end="")
    else:
        print("\n".join(aligned([HEAD, *map(_line, found)], widest=60)) if found else "no rollouts")
    return 0


def _one(found: DeploymentDetail | None, arguments: argparse.Namespace) -> int:
    if found is None:
        print(f"{arguments.model} has no rollout {arguments.id}", file=sys.stderr)
        return 1
    if arguments.json:
        print(found.model_dump_json())
        return 0
    print("\n".join(aligned([HEAD, _line(found.deployment)], widest=60)))
    if (asked := found.approval) is not None:
        said = "; ".join(f"{one['by']} {'yes' if one['approved'] else 'no'}" for one in asked.votes) or "no answers"
        print(f"\napproval {asked.result}: {asked.level}, quorum {asked.quorum} ({asked.why}): {said}")
    for one in found.verdicts:
        print(f"{one['check']} {one['outcome']}: {one['reason']}")
    events = [
        (
            f"{event.at:%Y-%m-%d %H:%M:%S}",
            event.kind,
            f"{event.act}{'' if event.phase in ('noted', 'done') else f' ({event.phase})'}",
            event.verdict or "",
            _weights(event.weights),
            event.actor,
            " ".join(event.reason.split()),
        )
        for event in found.history
    ]
    print("\n" + "\n".join(aligned([EVENTS_HEAD, *events], widest=80)))
    return 0


def _line(one: Deployment) -> tuple[str, ...]:
    stage = f"{one.stage_number}/{one.stages} {one.stage}" if one.stage_number else one.stage or "-"
    state = f"{one.state} (paused)" if one.paused else one.state
    names = (str(one.id), one.model, str(one.version), one.strategy, state, one.environment, stage, _weights(one.weights) or "-")
    return (*names, f"{one.planned_at:%Y-%m-%d %H:%M}", " ".join(one.reason.split()))


def _weights(weights: dict[int, int]) -> str:
    return ", ".join(f"{version}: {share} %" for version, share in sorted(weights.items()))
