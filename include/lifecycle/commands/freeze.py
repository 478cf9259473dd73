"""`cli freeze MODEL|--all` and `cli unfreeze MODEL|--all`: the kill switch. Needs the database alone: Airflow may be down."""

from __future__ import annotations

import argparse
import getpass
import json
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import LifecycleError
from include.lifecycle.loading import load_model
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.runtime import Runtime

DONE, FROZEN = 0, 1


def add_to(subparsers: Any) -> None:
    """Declare both commands."""
    text = "the kill switch: nothing of a model, or of all, is trained, promoted, given traffic, retired or removed any more"
    more = (
        "Rollbacks still work, also of a frozen rollout whose check fails. Exit code 0: done, or (--list) nothing is frozen; 1: "
    )
    parser = subparsers.add_parser("freeze", help=text, description=f"{text}. {more}--list, and something is frozen.")
    _common(parser)
    parser.add_argument("--return-traffic", action="store_true", help="end open rollouts, too: the champions get all traffic")
    parser.add_argument("--list", action="store_true", help="only tell what is frozen, by whom and why")
    parser.set_defaults(run=run_freeze)
    text = "end a freeze"
    parser = subparsers.add_parser("unfreeze", help=text, description=f"{text}. Exit code 0: done, 1: it is frozen still.")
    _common(parser)
    parser.set_defaults(run=run_unfreeze)


def run_freeze(arguments: argparse.Namespace, settings: Settings) -> int:
    """Freeze, or list."""
    from include.lifecycle.rollout.ways_back import freezing
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        if arguments.list:
            return _list(rt, as_json=arguments.json)
        model, by = _scope(arguments, settings), arguments.by or getpass.getuser()
        changed = freezing.freeze(rt, model, reason=arguments.reason, by=by)
        returned: list[str] = []
        if arguments.return_traffic:
            models = freezing.rolling_out(rt) if model == freezing.ALL else [model]
            returned = freezing.return_all_traffic(rt, models, reason=arguments.reason, by=by)
    finally:
        rt.engine.dispose()
    if arguments.json:
        print(json.dumps({"frozen": model, "changed": changed, "returned": returned}))
    else:
        print(f"{_named(model)} frozen{'' if changed else ' already'}")
        print("".join(f"{sentence}\n" for sentence in returned), end="")
    return DONE


def run_unfreeze(arguments: argparse.Namespace, settings: Settings) -> int:
    """End a freeze; a model stays frozen while everything is."""
    from include.lifecycle.database import transaction
    from include.lifecycle.rollout.ways_back import freezing
    from include.lifecycle.runtime import build_runtime

    model = _scope(arguments, settings)
    rt = build_runtime(settings)
    try:
        changed = freezing.unfreeze(rt, model, reason=arguments.reason, by=arguments.by or getpass.getuser())
        with transaction(rt.engine) as connection:
            left = freezing.frozen_reason(connection, model)
    finally:
        rt.engine.dispose()
    if arguments.json:
        print(json.dumps({"unfrozen": model, "changed": changed, "still": left}))
    else:
        print(f"{_named(model)} not frozen any more" if changed and not left else left or f"{_named(model)} not frozen")
    return FROZEN if left else DONE


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="name of a model")
    parser.add_argument("--all", action="store_true", help="every model")
    parser.add_argument("--reason", default="", help="why, for the ledger")
    parser.add_argument("--by", default=None, metavar="NAME", help="who, for the ledger (default: the login name)")
    parser.add_argument("--json", action="store_true", help="one JSON object, for scripts")


def _scope(arguments: argparse.Namespace, settings: Settings) -> str:
    from include.lifecycle.rollout.ways_back.freezing import ALL

    if arguments.all and arguments.model is not None:
        raise LifecycleError(f"got both model {arguments.model!r} and --all; allowed: one of them")
    if not arguments.all and arguments.model is None:
        raise LifecycleError("got neither a model nor --all; name one model, or say --all for every one")
    return ALL if arguments.all else load_model(arguments.model, settings=settings).name


def _named(model: str) -> str:
    return "everything is" if model == "*" else f"{model} is"


def _list(rt: Runtime, *, as_json: bool) -> int:
    from include.lifecycle.rollout.ways_back.freezing import standing, told

    rows = standing(rt)
    if as_json:
        print(json.dumps([{"model": row["model"], "by": row["by"], "reason": row["reason"]} for row in rows]))
    else:
        print("\n".join(told(row) for row in rows) or "nothing is frozen")
    return FROZEN if rows else DONE
