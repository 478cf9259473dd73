"""`cli alerts list|show|ack|resolve|incidents|response`: what people should know, who has it, and how soon it was answered.

Needs the database alone: Airflow may be down.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from include.lifecycle.alerting.kinds import ALERT_KINDS, PLATFORM
from include.lifecycle.commands.numbers import count
from include.lifecycle.commands.tables import aligned
from include.lifecycle.loading import model_file
from include.lifecycle.units import parse_duration
from include.settings import Settings

if TYPE_CHECKING:
    from include.lifecycle.alerting.listing import Alert
    from include.lifecycle.runtime import Runtime

HEAD = ("ID", "SEVERITY", "LEVEL", "STATE", "MODEL", "TITLE", "COUNT", "SEEN (UTC)", "INCIDENT", "TAKEN BY", "REASON")
INCIDENTS_HEAD = ("ID", "SEVERITY", "STATE", "MODEL", "SOURCE", "ALERTS", "OPENED (UTC)", "PAGE", "TITLE")
MESSAGES_HEAD = ("CHANNEL", "EVENT", "STATE", "ATTEMPTS", "SENT (UTC, wall)", "ERROR")
ANSWERS_HEAD = ("SEVERITY", "ALERTS", "IN TIME", "LATE", "MEDIAN")
_SEVERITIES = ("P0", "P1", "P2", "P3")
DONE, STANDING = 0, 1


def add_to(subparsers: Any) -> None:
    """Declare the command and what it can do."""
    text = "list alerts and incidents, take an alert, end it"
    parser = subparsers.add_parser("alerts", help=text, description=f"{text}. Exit code 2: there is no such alert.")
    acts = parser.add_subparsers(metavar="ACT", required=True)
    _listing(acts)
    show = acts.add_parser("show", help="one alert with its numbers and its messages")
    show.add_argument("alert", type=count, help="number of the alert")
    show.set_defaults(run=_shown(_show))
    _answering(acts, "ack", "take the alert and all of its incident: nobody else is called", asks=False)
    _answering(acts, "resolve", "end the alert; a finding that still stands is raised anew", asks=True)
    incidents = acts.add_parser("incidents", help="alerts that shared a source, newest first")
    incidents.add_argument("--model", help="of this model only")
    incidents.add_argument("--limit", type=count, default=50, help="so many at most (default 50)")
    incidents.set_defaults(run=_shown(_incidents))
    response = acts.add_parser("response", help="how soon alerts were answered; exit code 1: one of them too late")
    response.add_argument("--since", type=_duration, default=timedelta(days=30), help="wall time back from now (default 30d)")
    response.set_defaults(run=_shown(_response))
    for one in (show, incidents, response):
        one.add_argument("--json", action="store_true", help="JSON, one object a line")


def _listing(acts: Any) -> None:
    parser = acts.add_parser("list", help="what stands, newest first; exit code 1: something stands")
    parser.add_argument("--model", help="of this model only")
    parser.add_argument("--severity", choices=_SEVERITIES, help="of this severity only")
    parser.add_argument("--kind", choices=sorted(ALERT_KINDS), metavar="KIND", help="of this kind only, such as decay")
    parser.add_argument("--all", action="store_true", help="those that are over, too")
    parser.add_argument("--limit", type=count, default=50, help="so many at most (default 50)")
    parser.add_argument("--json", action="store_true", help="JSON, one object a line")
    parser.set_defaults(run=_shown(_list))


def _answering(acts: Any, name: str, text: str, *, asks: bool) -> None:
    parser = acts.add_parser(name, help=text, description=text)
    parser.add_argument("alert", type=count, nargs="+", help="numbers of alerts")
    parser.add_argument("--reason", default="", required=asks, help="for the ledger")
    parser.add_argument("--by", default=None, metavar="NAME", help="who, for the ledger (default: the login name)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=_shown(_answer), act=name)


def _shown(act: Any) -> Any:
    """The act with a runtime that is put away afterwards."""

    def run(arguments: argparse.Namespace, settings: Settings) -> int:
        from include.lifecycle.runtime import build_runtime

        rt = build_runtime(settings)
        try:
            return int(act(arguments, rt))
        finally:
            rt.engine.dispose()

    return run


def _list(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.alerting.listing import list_alerts
    from include.lifecycle.database import transaction

    states = ("open", "acknowledged", "resolved") if arguments.all else ("open", "acknowledged")
    wanted = {"severity": arguments.severity, "kind": arguments.kind, "limit": arguments.limit}
    with transaction(rt.engine) as connection:
        found = list_alerts(connection, arguments.model, states=states, **wanted)
    _check_model(arguments.model, bool(found), rt)
    _print(found, [HEAD, *map(_line, found)], "no alerts", arguments)
    return STANDING if any(one.state != "resolved" for one in found) else DONE


def _check_model(model: str | None, known: bool, rt: Runtime) -> None:
    """Raise SpecInvalidError, with the nearest name, for a model of which there is neither a row nor a YAML."""
    if not known and model not in (None, PLATFORM):
        model_file(str(model), settings=rt.settings)


def _show(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.alerting.kinds import runbook_of
    from include.lifecycle.alerting.listing import find_alert
    from include.lifecycle.database import transaction

    with transaction(rt.engine) as connection:
        found = find_alert(connection, arguments.alert)
    if found is None:
        print(f"error: there is no alert {arguments.alert}", file=sys.stderr)
        return 2
    if arguments.json:
        print(found.model_dump_json())
        return DONE
    print("\n".join(aligned([HEAD, _line(found.alert)])))
    named = found.alert.runbook or runbook_of(found.alert.kind)
    place = named if "://" in named else f"docs/runbooks.md#{named}"
    print(f"\nrunbook: {place}" + (f"\npage: {found.timeline}" if found.timeline else ""))
    print("".join(f"{name}: {value}\n" for name, value in found.alert.evidence.items()), end="")
    rows = [
        (one.channel, one.event, one.state, str(one.attempts), _at(one.sent_wall_at), one.error or "") for one in found.messages
    ]
    print("\n" + ("\n".join(aligned([MESSAGES_HEAD, *rows])) if rows else "nobody was told yet"))
    return DONE


def _answer(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.alerting.answering import answer_alert

    by = arguments.by or getpass.getuser()
    for number in arguments.alert:
        done = answer_alert(rt, number, arguments.act, by=by, reason=arguments.reason)
        print(done.model_dump_json() if arguments.json else f"{done.model}: {done.told}")
    return DONE


def _incidents(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.alerting.listing import list_incidents
    from include.lifecycle.database import transaction

    with transaction(rt.engine) as connection:
        found = list_incidents(connection, arguments.model, limit=arguments.limit)
    _check_model(arguments.model, bool(found), rt)
    rows = [
        (str(one.id), one.severity, one.state, one.model, one.source, str(one.alerts), _at(one.opened_at), one.timeline or "-")
        for one in found
    ]
    lines = [(*row, one.title) for row, one in zip(rows, found, strict=True)]
    _print(found, [INCIDENTS_HEAD, *lines], "no incidents", arguments)
    return DONE


def _response(arguments: argparse.Namespace, rt: Runtime) -> int:
    from include.lifecycle.alerting.listing import answers
    from include.lifecycle.alerting.policy import policies_of
    from include.lifecycle.database import transaction

    until = datetime.now(UTC)
    with transaction(rt.engine) as connection:
        found = answers(connection, policies_of(rt.settings), until - arguments.since, until)
    rows = [(one.severity, str(one.alerts), str(one.in_time), str(one.late), _length(one.median_seconds)) for one in found]
    _print(found, [ANSWERS_HEAD, *rows], "", arguments)
    return STANDING if any(one.late for one in found) else DONE


def _print(found: Any, rows: list[Any], nothing: str, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print("".join(f"{one.model_dump_json()}\n" for one in found), end="")
    else:
        print("\n".join(aligned(cast("Any", rows))) if found else nothing)


def _line(one: Alert) -> tuple[str, ...]:
    names = (str(one.id), one.severity, one.level, one.state, one.model, one.title, str(one.count), _at(one.last_seen))
    return (*names, str(one.incident or "-"), one.acknowledged_by or "-", " ".join(one.reason.split()))


def _at(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else "-"


def _length(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.1f} min"


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
