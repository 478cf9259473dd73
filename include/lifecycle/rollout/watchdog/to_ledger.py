"""Brings what the watchdog did and saw into the ledger: it has no database, so its journal is read here. Part of reconcile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from include.lifecycle.alerting.events import end_event, tell_event
from include.lifecycle.alerting.kinds import MODEL_DOWN, PLATFORM, WATCHDOG_SILENT
from include.lifecycle.database import transaction
from include.lifecycle.ledger import Entry
from include.lifecycle.rollout.gateway.access_log import Position, read_lines
from include.lifecycle.rollout.watchdog.health import GAUGES
from include.lifecycle.rollout.watchdog.journal import JOURNAL
from include.lifecycle.runtime import Runtime
from include.lifecycle.storage import write_whole

READ = "watchdog.read.json"
SILENT_AFTER = 60.0  # seconds
LARGEST = 5_000_000  # bytes of the journal, after which it is renamed; one old one is kept
_ALERTS = ("model_down", "model_up")


def import_journal(rt: Runtime) -> Iterator[str]:
    """Write each new line once (its time and place are its key); one sentence per line. Safe to be killed at any point."""
    journal, place = rt.settings.gateway_dir / JOURNAL, rt.settings.gateway_dir / READ
    position = _position(json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {})
    lines, after = read_lines(journal, position)
    for line in lines:
        if (told := _line(line)) is None:
            yield f"a line of {JOURNAL} is torn: {line[:80]!r}"
            continue
        kind = "alert" if told["act"] in _ALERTS else "rollout"
        entry = Entry(
            model=told["model"],
            kind=kind,
            act=told["act"],
            reason=told["reason"],
            actor="watchdog",
            version_before=told.get("version"),
            version_after=told.get("champion"),
            idempotency_key=f"watchdog:{told['model']}:{told['act']}:{told['wall_at']}",
            evidence={name: value for name, value in told.items() if name not in ("act", "model", "reason")},
        )
        with transaction(rt.engine) as connection:
            rt.ledger.write(entry, connection)
            _tell(connection, rt, told)
        yield f"{told['model']}: {told['act']}, {told['reason']}"
    if after != position:
        write_whole(place, json.dumps({"inode": after.inode, "offset": after.offset}))
    if not lines and journal.is_file() and journal.stat().st_size > LARGEST:
        journal.replace(journal.with_name(f"{JOURNAL}.1"))


def silence(rt: Runtime) -> Iterator[str]:
    """Report, once an outage, a watchdog that looked once and does so no more: nobody guards the leases then."""
    gauges = rt.settings.gateway_dir / GAUGES
    looked = gauges.stat().st_mtime if gauges.is_file() else time.time()
    seconds = time.time() - looked
    if seconds < SILENT_AFTER:
        with transaction(rt.engine) as connection:
            end_event(connection, rt, WATCHDOG_SILENT, PLATFORM, key="look", reason="it looks again", actor="reconcile")
        return
    reason = f"the watchdog has not looked for {seconds:.0f} s: a canary's lease would not be enforced"
    entry = Entry(
        model="watchdog",
        kind="alert",
        act="watchdog_silent",
        reason=reason,
        actor="reconcile",
        idempotency_key=f"watchdog-silent:{looked:.0f}",
    )
    with transaction(rt.engine) as connection:
        rt.ledger.write(entry, connection)
        tell_event(connection, rt, WATCHDOG_SILENT, PLATFORM, key="look", reason=reason, actor="reconcile")
    yield reason


def _tell(connection: Connection, rt: Runtime, told: dict[str, Any]) -> None:
    """A model that is down is an alert until it is up."""
    if told["act"] == "model_down":
        tell_event(connection, rt, MODEL_DOWN, told["model"], key="serving", reason=told["reason"], actor="watchdog")
    elif told["act"] == "model_up":
        end_event(connection, rt, MODEL_DOWN, told["model"], key="serving", reason=told["reason"], actor="watchdog")


def _line(line: bytes) -> dict[str, Any] | None:
    """One line; None when the watchdog was killed while it wrote it."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and {"act", "model", "reason", "wall_at"} <= set(told) else None


def _position(raw: dict[str, int]) -> Position:
    return Position(int(raw.get("inode", 0)), int(raw.get("offset", 0)))
