"""`cli ledger MODEL`: the decisions about a model, newest last, and which version was champion at a time."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.lifecycle.commands.numbers import count
from include.lifecycle.commands.tables import aligned
from include.lifecycle.errors import SettingsError
from include.lifecycle.ledger import KINDS
from include.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

HEAD = ("AT (UTC)", "ID", "KIND", "ACT", "PHASE", "VERDICT", "ACTOR", "REASON")
CHAMPION_KIND = "promotion"


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("ledger", help="show decisions and acts with their reasons; who was champion when")
    parser.add_argument("model")
    parser.add_argument("--at", type=moment, metavar="TIME", help="as it stood then (ISO 8601, UTC unless it says otherwise)")
    parser.add_argument("--kind", choices=KINDS, metavar="KIND", help=f"only one kind: {', '.join(KINDS)}")
    parser.add_argument("--limit", type=count, default=50, help="newest entries to show (default 50)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with the evidence")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Read the ledger and print it."""
    from include.lifecycle.runtime import build_runtime

    rt = build_runtime(settings)
    try:
        entries = rt.ledger.read(arguments.model, kind=arguments.kind, until=arguments.at, limit=arguments.limit)[::-1]
        moves = rt.ledger.read(arguments.model, kind=CHAMPION_KIND, until=arguments.at, limit=1_000_000)
    finally:
        rt.engine.dispose()
    if arguments.json:
        print("".join(json.dumps(dict(entry), default=_plain) + "\n" for entry in entries), end="")
        return 0
    print(_champion(arguments.model, moves, arguments.at))
    print("\n".join(aligned([HEAD, *map(_line, entries)], widest=40)) if entries else "no entries")
    return 0


def champion_at(moves: list[RowMapping]) -> tuple[int | None, RowMapping | None]:
    """The champion by the newest finished move of aliases (`moves` are ledger rows, newest first), and that row."""
    last = next((row for row in moves if row["phase"] == "done"), None)
    version = last["evidence"].get("aliases_after", {}).get("champion") if last else None
    return (int(version) if version is not None else None), last


def moment(text: str) -> datetime:
    """Read an ISO 8601 date or time; without a zone it is UTC. Raises ArgumentTypeError, which argparse prints."""
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: a time such as 2013-08-01 or 2013-08-01T12:30+00:00") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _champion(model: str, moves: list[RowMapping], at: datetime | None) -> str:
    version, row = champion_at(moves)
    when = f"at {at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "now"
    if version is None or row is None:
        return f"{model} has no champion {when}"
    return f"champion of {model} {when}: version {version} (ledger {row['id']}: {row['reason']})"


def _line(entry: RowMapping) -> tuple[str, ...]:
    at = entry["at"].astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    cells = (entry["kind"], entry["act"], entry["phase"], entry["verdict"] or "", entry["actor"], entry["reason"])
    return (at, str(entry["id"]), *(" ".join(cell.split()) for cell in cells))


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise SettingsError(f"the ledger holds a value of type {type(value).__name__}, which is no JSON")
