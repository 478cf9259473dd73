"""`cli rollout MODEL status|pause|resume|skip|abort|conclude`: how a model's rollout stands, and a person's hand on it."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.known import known_by_rollouts
from include.lifecycle.errors import GateFailedError
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.runtime import Runtime

YES, NO = 0, 1
_ACTS = ("status", "pause", "resume", "skip", "abort", "conclude")
_ABOUT = """
status    how the open rollout stands, or how the last one ended
pause     nothing goes forward until `resume`; a failed check still takes the traffic back
resume    go on; also lets a stage go that passed and waits for a person
skip      leave this stage now, whatever its checks say; those that have not passed are named in the ledger
abort     give all traffic back to the champion
conclude  end an A/B test with a --winner

The rollout's driver takes a command up at its next look, within a second or two. Exit code 0: done (status: a rollout is
open); 1: refused, or not taken up within --wait (status: none is open); 2: error.
"""


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "how a model's rollout stands; pause, resume, skip, abort or conclude it"
    parser = subparsers.add_parser("rollout", help=text, description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("act", choices=_ACTS)
    parser.add_argument("--reason", default="", help="why, for the ledger; asked for by all but status")
    parser.add_argument("--winner", choices=("challenger", "champion"), help="of the A/B test that is concluded")
    parser.add_argument("--by", default=None, metavar="NAME", help="who, for the ledger (default: the login name)")
    parser.add_argument("--wait", type=float, default=10.0, metavar="SECONDS", help="for the driver's answer (default 10)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Tell, or steer and tell what came of it."""
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        known_by_rollouts(rt, arguments.model)
        if arguments.act == "status":
            return _status(rt, arguments)
        return _steer(rt, arguments)
    finally:
        rt.engine.dispose()


def _status(rt: Runtime, arguments: argparse.Namespace) -> int:
    from include.lifecycle.database import transaction
    from include.lifecycle.rollout.states import State
    from include.lifecycle.rollout.steering import latest_rollout
    from include.lifecycle.rollout.telling.standing import as_json, in_words

    with transaction(rt.engine) as connection:
        row = latest_rollout(connection, arguments.model)
    if row is None:
        print(json.dumps(None) if arguments.json else f"{arguments.model} never had a rollout")
        return NO
    now = datetime.now(UTC)
    print(json.dumps(as_json(row, now)) if arguments.json else "\n".join(in_words(row, now)))
    return YES if State(row["state"]).is_open else NO


def _steer(rt: Runtime, arguments: argparse.Namespace) -> int:
    from include.lifecycle.rollout.steering import answered, steer

    told = {"by": arguments.by or getpass.getuser(), "reason": arguments.reason, "winner": arguments.winner}
    try:
        rollout_id = steer(rt, arguments.model, arguments.act, **told)
    except GateFailedError as problem:
        if arguments.json:
            print(json.dumps({"refused": str(problem)}))
        else:
            print(problem, file=sys.stderr)
        return NO
    row = answered(rt, rollout_id, arguments.wait)
    taken = row["command"] is None
    if arguments.json:
        print(json.dumps({"rollout_id": rollout_id, "taken_up": taken, "state": row["state"], "reason": row["reason"]}))
    elif taken:
        print(f"rollout {rollout_id} of {arguments.model} ({row['state']}): {row['reason']}")
    else:
        print(f"rollout {rollout_id} of {arguments.model} was asked to {arguments.act}; nobody has taken it up yet")
    return YES if taken else NO
