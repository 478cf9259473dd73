"""`cli retraining MODEL start|stop|status`: the run-time switch of a model's unattended training."""

from __future__ import annotations

import argparse
import getpass
from typing import Any

from include.lifecycle.loading import load_model
from include.settings import Settings

ON, OFF = 0, 3


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "stop or start a model's unattended training (signals and schedule), or tell how it stands"
    exits = "Exit code 0: it runs (after start or status), or it was stopped (after stop); 3: status, and it is stopped."
    parser = subparsers.add_parser("retraining", help=text, description=f"{text}. {exits}")
    parser.add_argument("model")
    parser.add_argument("act", choices=("start", "stop", "status"))
    parser.add_argument("--reason", default="", help="why, for the ledger; asked for by start and stop")
    parser.add_argument("--by", default=None, metavar="NAME", help="who, for the ledger (default: the login name)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Switch, or print how it stands."""
    from include.lifecycle.database import transaction
    from include.lifecycle.decisions.automation import set_automation, stopped
    from include.lifecycle.runtime import build_runtime

    spec = load_model(arguments.model, settings=settings)
    rt = build_runtime(settings)
    try:
        if arguments.act != "status":
            by, running = arguments.by or getpass.getuser(), arguments.act == "start"
            changed = set_automation(rt, spec.name, running=running, reason=arguments.reason, by=by)
            state = "runs" if running else "is stopped"
            print(f"{spec.name}: unattended training {state}{'' if changed else ' already'}")
            return ON
        with transaction(rt.engine) as connection:
            why = stopped(connection, spec.name)
    finally:
        rt.engine.dispose()
    print(f"{spec.name}: {why or f'unattended training runs (retraining.mode is {spec.retraining.mode})'}")
    return OFF if why else ON
