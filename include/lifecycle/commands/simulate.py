"""`cli simulate MODEL --from --to`: what the settings would have done in the past, and what that would have been worth."""

from __future__ import annotations

import argparse
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from include.lifecycle.commands.ledger import moment
from include.lifecycle.commands.proposal import overlaid, policy_text
from include.lifecycle.commands.source_option import add_source_option, source_of
from include.lifecycle.commands.tables import aligned
from include.lifecycle.errors import SettingsError
from include.lifecycle.loading import load_model
from include.lifecycle.units import parse_duration
from include.settings import Settings

_TRIALS = 3


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "replay history through monitoring, decision, training and gates; changes nothing"
    parser = subparsers.add_parser("simulate", help=text, description=f"{text}.")
    parser.add_argument("model")
    parser.add_argument(
        "--from", dest="start", required=True, type=moment, metavar="TIME", help="event time; version 1 is trained then"
    )
    parser.add_argument("--to", dest="end", required=True, type=moment, metavar="TIME", help="event time of the end")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="YAML laid over the model's: the settings to try")
    parser.add_argument("--trials", type=_count, default=_TRIALS, help=f"Optuna trials of each training ({_TRIALS})")
    parser.add_argument("--no-schedule", action="store_true", help="leave the trainings by cron out")
    parser.add_argument(
        "--always-every", type=_duration, metavar="DURATION", help="the rival's interval (7d primary, 30d secondary)"
    )
    add_source_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object, with every window and event")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Replay and print."""
    from include.lifecycle.runtime import build_runtime
    from include.lifecycle.simulation.outcome import simulate

    if arguments.end <= arguments.start:
        raise SettingsError(f"--from {arguments.start} is not before --to {arguments.end}")
    with overlaid(settings, arguments.model, policy_text(arguments.policy)) as changed:
        spec = load_model(arguments.model, settings=changed)
    rt = build_runtime(settings)
    url = source_of(arguments, spec, settings)
    options = {"trials": arguments.trials, "schedule": not arguments.no_schedule, "every": arguments.always_every}
    plain = simulate(spec, rt, url, arguments.start, arguments.end, **options).plain()
    print(json.dumps(plain) if arguments.json else "\n".join(_lines(plain)))
    return 0


def _lines(plain: dict[str, Any]) -> list[str]:
    metric = plain["metric"]
    told = [f"{plain['model']} from {plain['from']} to {plain['to']}, {len(plain['windows'])} windows", ""]
    rows = [
        (event["at"][:16].replace("T", " "), event["kind"], event["subject"], _one_line(event["reason"]))
        for event in plain["timeline"]
    ]
    told += aligned([("AT (UTC)", "EVENT", "SUBJECT", "REASON"), *rows]) if rows else ["nothing happened"]
    head = ("STRATEGY", metric.upper(), "TRAININGS", "PROMOTIONS", "ALARMS", "CPU SECONDS")
    strategies = [
        (
            name,
            _number(one[metric]),
            *(str(one[key]) for key in ("trainings", "promotions", "alarms")),
            f"{one['cpu_seconds']:.1f}",
        )
        for name, one in plain["strategies"].items()
    ]
    told += ["", *aligned([head, *strategies]), ""]
    for rival, regret in plain["regret"].items():
        told.append(f"regret against {rival} retraining: {_number(regret, signed=True)} {metric}")
    return [*told, "(regret: how much better the other strategy was; below zero the policy was)"]


def _number(value: float | None, *, signed: bool = False) -> str:
    return "-" if value is None else f"{value:+.4f}" if signed else f"{value:.4f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: 1 to 1000")
    return int(text)


def _duration(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
    if found < timedelta(hours=1):
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: 1h or more")
    return found
