"""`cli replay MODEL VERSION`: make a version again from its record and compare the metrics; nothing is registered."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from typing import Any
from uuid import uuid4

from include.lifecycle.commands.numbers import version_number
from include.lifecycle.commands.restore import _quiet_dvc
from include.lifecycle.verdicts import Outcome
from include.settings import Settings

EXIT = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 3}


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "rebuild a version from its record and its snapshot, and compare the metrics; registers nothing"
    codes = "Exit code 0: the metrics agree, 1: they differ, 2: an error, 3: they differ, but so does the environment."
    parser = subparsers.add_parser("replay", help=text, description=f"{text}. {codes}")
    parser.add_argument("model")
    parser.add_argument("version", type=version_number, help="MLflow's version number")
    parser.add_argument("--tune", action="store_true", help="run the study again, too (only when training.workers was 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object with everything that was compared")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Replay and print what was found."""
    from include.lifecycle.registry.replay import Replay, replay_version
    from include.lifecycle.runtime import RunContext, build_runtime

    rt = build_runtime(settings)
    context = RunContext(arguments.model, f"replay__{uuid4().hex[:12]}", "replay", by="command line")
    try:
        with redirect_stdout(sys.stderr):  # what libraries say of their steps is no part of the answer
            _quiet_dvc()
            report = replay_version(rt, context, Replay(arguments.model, arguments.version, tune=arguments.tune))
    finally:
        rt.engine.dispose()
    if arguments.json:
        print(report.model_dump_json())
    else:
        print(f"replay of {report.model} version {report.version}: {report.outcome.value}: {report.reason}")
        for name, (before, now) in report.environment.items():
            print(f"  {name}: recorded {before}, now {now}")
    return EXIT[report.outcome]
