"""`cli retraining MODEL start|stop|status|history`: the switch of a model's unattended training, and how its trainings went."""

from __future__ import annotations

import argparse
import getpass
import json
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.numbers import count
from include.lifecycle.commands.tables import aligned
from include.lifecycle.loading import load_model
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.decisions.statistics import RetrainingStatistics, Training
    from include.lifecycle.runtime import Runtime

HEAD = ("ID", "REQUESTED (UTC)", "SOURCE", "CAUSE", "OUTCOME", "VERSION", "SECONDS", "REASON")
ON, OFF = 0, 3


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "stop or start a model's unattended training (signals and schedule), tell how it stands, or list its trainings"
    exits = "Exit code 0: it runs (after start or status), or it was stopped (after stop); 3: status, and it is stopped."
    parser = subparsers.add_parser("retraining", help=text, description=f"{text}. {exits}")
    parser.add_argument("model", help="a model's name")
    parser.add_argument("act", choices=("start", "stop", "status", "history"))
    parser.add_argument("--reason", default="", help="why, for the ledger; asked for by start and stop")
    parser.add_argument("--by", default=None, metavar="NAME", help="who, for the ledger (default: the login name)")
    parser.add_argument("--limit", type=count, default=20, help="newest trainings that history lists (20)")
    parser.add_argument("--json", action="store_true", help="history as one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Switch, or print how it stands."""
    from include.lifecycle.database import transaction
    from include.lifecycle.decisions.automation import set_automation, stopped
    from include.lifecycle.runtime import build_runtime

    spec = load_model(arguments.model, settings=settings)
    rt = build_runtime(settings)
    try:
        if arguments.act == "history":
            return _history(arguments, rt)
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


def _history(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.database import transaction
    from include.lifecycle.decisions.statistics import retraining_statistics, trainings_of

    with transaction(rt.engine) as connection:
        numbers = retraining_statistics(connection, arguments.model)
        found = trainings_of(connection, arguments.model, limit=arguments.limit)
    if arguments.json:
        told = {"statistics": numbers.model_dump(mode="json"), "trainings": [one.model_dump(mode="json") for one in found]}
        print(json.dumps(told))
        return ON
    print(
        "\n".join([*aligned(_numbers(numbers)), "", *(aligned([HEAD, *map(_line, found)], widest=40) if found else [])]).strip()
    )
    return ON


def _numbers(found: RetrainingStatistics) -> list[tuple[str, str]]:
    counted = {"by source": found.by_source, "by outcome": found.by_outcome, "by month": found.by_month}
    rows = [("training requests", str(found.requests))]
    rows += [(name, ", ".join(f"{key} {number}" for key, number in counts.items())) for name, counts in counted.items()]
    rows.append(("promoted", "" if found.promoted_share is None else f"{found.promoted_share:.0%} of those that ended"))
    rows.append(("days between versions", "" if found.days_between is None else f"{found.days_between:.1f} (median)"))
    rows.append(("seconds of a training", "" if found.median_seconds is None else f"{found.median_seconds:.0f} (median)"))
    rows.append(("last promoted", "" if found.last_promoted_at is None else f"{found.last_promoted_at:%Y-%m-%d %H:%M} UTC"))
    return [(name, value) for name, value in rows if value]


def _line(one: Training) -> tuple[str, ...]:
    version, seconds = ("" if one.version is None else str(one.version)), ("" if one.seconds is None else f"{one.seconds:.0f}")
    when = f"{one.requested_at:%Y-%m-%d %H:%M}"
    return (str(one.id), when, one.source, one.cause, one.outcome, version, seconds, " ".join(one.reason.split()))
