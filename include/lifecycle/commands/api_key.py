"""`cli api-key create|list|revoke`: the keys with which clients ask the model servers."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from datetime import MAXYEAR, UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from include.lifecycle.commands.tables import aligned
from include.lifecycle.errors import SettingsError
from include.lifecycle.loading import model_names
from include.lifecycle.rollout.before_traffic.key_file import change_keys
from include.lifecycle.rules.view import did_you_mean
from include.lifecycle.units import parse_duration
from include.serving.api_keys import EVERY_MODEL, ApiKey, new_key, read_keys, revoked
from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    text = "create, list or revoke the API keys of the model servers"
    more = "The file holds hashes: a key is shown once, when it is made. Running servers follow a change within a second."
    parser = subparsers.add_parser("api-key", help=text, description=f"{text}. {more}")
    acts = parser.add_subparsers(metavar="ACT", required=True)
    create = acts.add_parser("create", help="make a key and show it, once")
    create.add_argument("client", help="who will use it; metrics count by this name")
    create.add_argument("--models", default=EVERY_MODEL, help="models that it is good for, with commas between (default: all)")
    create.add_argument("--expires-in", metavar="DURATION", help="such as 90d; without it the key lives until it is revoked")
    create.set_defaults(run=run_create)
    shown = acts.add_parser("list", help="whose keys there are; no key can be shown again")
    shown.add_argument("--json", action="store_true", help="as JSON")
    shown.set_defaults(run=run_list)
    revoke = acts.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("id", help="the key's id, as `list` tells it")
    revoke.set_defaults(run=run_revoke)
    for act in (create, shown, revoke):
        act.add_argument("--file", type=Path, help="the key file (default: MODELOPS_SERVER_KEYS_FILE)")


def run_create(arguments: argparse.Namespace, settings: Settings) -> int:
    """Make a key and print it."""
    now = datetime.now(UTC)
    expires = _expiry(arguments.expires_in, now) if arguments.expires_in is not None else None
    models = tuple(name.strip() for name in arguments.models.split(",") if name.strip())
    if not models:
        raise SettingsError("--models names no model; leave it out for all of them")
    key, text = new_key(arguments.client, models, now=now, expires=expires)
    path = _file(arguments, settings)
    change_keys(path, lambda keys: [*keys, key])
    print(text)
    print(f"key {key.id} of {key.client} for {', '.join(models)}; it is not shown again. {path} holds its hash.")
    known = model_names(settings=settings)
    for name in models:
        if name not in (*known, EVERY_MODEL):
            print(f"note: there is no model {name!r} yet{did_you_mean(name, known)}", file=sys.stderr)
    return 0


def run_list(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print every key's id, client, models and state."""
    now = datetime.now(UTC)
    keys = read_keys(_file(arguments, settings))
    if arguments.json:
        print(json.dumps([_told(key, now) for key in keys], indent=1))
        return 0
    rows = [[key.id, key.client, ", ".join(key.models), key.state(now), key.created, key.expires or "-"] for key in keys]
    print("\n".join(aligned([["ID", "CLIENT", "MODELS", "STATE", "CREATED", "EXPIRES"], *rows])))
    return 0


def run_revoke(arguments: argparse.Namespace, settings: Settings) -> int:
    """Revoke one key; revoking it again changes nothing."""
    path = _file(arguments, settings)
    read_keys(path)
    change_keys(path, lambda keys: revoked(keys, arguments.id, datetime.now(UTC)))
    print(f"key {arguments.id} is revoked; running servers refuse it within a second")
    return 0


def _expiry(text: str, now: datetime) -> datetime:
    try:
        lives = parse_duration(text)
        expires = now + lives
    except ValueError as problem:
        raise SettingsError(f"--expires-in: {problem}") from None
    except OverflowError:
        raise SettingsError(f"--expires-in: {text!r} ends after the year {MAXYEAR}; for ever is without it") from None
    if lives <= timedelta(0):
        raise SettingsError(f"--expires-in: got {text!r}, a key that is expired at once; allowed: longer than 0s, such as 90d")
    return expires


def _told(key: ApiKey, now: datetime) -> dict[str, Any]:
    return {name: value for name, value in asdict(key).items() if name != "sha256"} | {"state": key.state(now)}


def _file(arguments: argparse.Namespace, settings: Settings) -> Path:
    path: Path | None = arguments.file or settings.server_keys_file
    if path is None:
        raise SettingsError("which file? set MODELOPS_SERVER_KEYS_FILE, or give --file")
    return path
