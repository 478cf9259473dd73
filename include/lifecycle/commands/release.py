"""`cli release MODEL VERSION`: a person lets a held version be rolled out, or refuses it."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from include.lifecycle.commands.numbers import version_number
from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "release",
        help="let a held version be rolled out, or refuse it",
        description="A version is held when its evaluation could not tell and evaluation.on_inconclusive says hold, or when its "
        "rollout's plan could not end in time. Released, its rollout is planned within minutes. "
        "Exit code 0: done, 1: there is no such held version, 2: error.",
    )
    parser.add_argument("model")
    parser.add_argument("version", type=version_number, help="MLflow's version number")
    parser.add_argument("--reason", required=True, help="why; it stands in the ledger")
    parser.add_argument("--by", default=None, help="who decides (default: the user that runs the command)")
    parser.add_argument("--refuse", action="store_true", help="refuse it instead")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write the decision down."""
    from include.lifecycle.loading import model_file
    from include.lifecycle.registry.release import has_candidates, release_candidate
    from include.lifecycle.runtime import build_runtime

    rt, by = build_runtime(settings), arguments.by or getpass.getuser()
    try:
        problem = release_candidate(
            rt, arguments.model, arguments.version, by=by, reason=arguments.reason, refuse=arguments.refuse
        )
        if problem is not None and not has_candidates(rt, arguments.model):
            model_file(arguments.model, settings=settings)  # a misspelled name is an error, not an answer
    finally:
        rt.engine.dispose()
    if problem is not None:
        print(problem, file=sys.stderr)
        return 1
    word = "refused" if arguments.refuse else "released"
    print(f"version {arguments.version} of {arguments.model} {word} by {by}")
    return 0
