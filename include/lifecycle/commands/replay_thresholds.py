"""`cli replay-thresholds MODEL --set KEY=VALUE`: what other thresholds would have done with the windows that are stored."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from include.lifecycle.commands.ledger import moment
from include.lifecycle.commands.proposal import overlaid, policy_text, with_keys
from include.lifecycle.commands.tables import aligned
from include.lifecycle.errors import SettingsError
from include.lifecycle.loading import load_model
from include.settings import Settings

COURSES = {"happened": "HAPPENED", "as_set": "AS SET", "proposed": "PROPOSED"}


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "tell on which days other thresholds would have fired, retrained, rolled back; changes nothing"
    more = "Reads the windows that are stored. Exit code 0: replayed, 2: an error."
    parser = subparsers.add_parser("replay-thresholds", help=text, description=f"{text}. {more}")
    parser.add_argument("model", help="a model's name")
    parser.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of monitoring or retraining and the value to try, such as drift.minimum_effect=0.2; again for more",
    )
    parser.add_argument("--policy", type=Path, metavar="FILE", help="YAML laid over the model's: several keys at once")
    parser.add_argument("--since", type=moment, metavar="TIME", help="event time (all stored windows)")
    parser.add_argument("--until", type=moment, metavar="TIME", help="event time (now)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Replay and print."""
    from include.lifecycle.runtime import build_runtime
    from include.lifecycle.simulation.threshold_replay import replay_thresholds
    from include.lifecycle.simulation.thresholds import key_names

    since, until = arguments.since, arguments.until
    if since is not None and until is not None and until <= since:
        raise SettingsError(f"--since {since} is not before --until {until}")
    spec = load_model(arguments.model, settings=settings)
    if not arguments.sets and arguments.policy is None:
        raise SettingsError("nothing to try: give --set KEY=VALUE, or --policy FILE")
    text = with_keys(settings, arguments.model, policy_text(arguments.policy), arguments.sets, key_names(spec))
    with overlaid(settings, arguments.model, text) as changed:
        proposed = load_model(arguments.model, settings=changed)
    rt = build_runtime(settings)
    try:
        plain = replay_thresholds(spec, proposed, rt, since, until).plain()
    finally:
        rt.engine.dispose()
    print(json.dumps(plain) if arguments.json else "\n".join(_lines(plain)))
    return 0


def _lines(plain: dict[str, Any]) -> list[str]:
    told = [f"{plain['model']} from {_day(plain['since'])} to {_day(plain['until'])}, {plain['windows']} measurements of windows"]
    told += [f"  {key}: {_shown(one['from'])} -> {_shown(one['to'])}" for key, one in plain["changes"].items()]
    if not plain["changes"]:
        told.append("  nothing differs from the present settings")
    head = ("DAY", *COURSES.values())
    rows = [(one["day"], *(_cell(one[name]) for name in COURSES)) for one in plain["days"]]
    told += ["", *(aligned([head, *rows]) if rows else ["nothing happened, and nothing would have"])]
    counted = next(iter(plain["totals"].values()))
    totals = [(word.replace("_", " "), *(str(plain["totals"][name][word]) for name in COURSES)) for word in counted]
    return [*told, "", *aligned([("TOTAL", *COURSES.values()), *totals]), "(cost: one training for each `retrained`)"]


def _cell(events: list[str]) -> str:
    return ", ".join(f"{text} x{events.count(text)}" if events.count(text) > 1 else text for text in dict.fromkeys(events)) or "-"


def _day(text: str) -> str:
    return text[:16].replace("T", " ")


def _shown(value: Any) -> str:
    return json.dumps(value)
