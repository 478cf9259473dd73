"""Puts right what fell between two drivers: rollouts nobody drives, traffic and servers that are not as the rows say.

Called every few minutes by the upkeep Dag. It only follows rows; what somebody changed by hand is undone and reported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import RowMapping, func, select

from include.lifecycle.database import transaction
from include.lifecycle.errors import LifecycleError
from include.lifecycle.ledger import Entry
from include.lifecycle.rollout.driver import close_rollout, drive_once
from include.lifecycle.rollout.effects import Hands, usual_hands
from include.lifecycle.rollout.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.states import OPEN_STATES, Plan, State
from include.lifecycle.rollout.traffic import DesiredTraffic, Server, read_desired
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import rollouts

ORPHAN_SECONDS = 600  # a server that no row wants is stopped when it is older
LOG_BYTES = 200_000_000  # the gateway's access log is rotated beyond this
_GRACE = timedelta(hours=2)
_ABANDONED = "its deploy run ended before it had traffic, or nobody took it up in time"


RunAlive = Callable[[str, str], bool]
"""Whether the deploy run (model, run id) may still act on its rollout."""


def reconcile(rt: Runtime, specs: Iterable[str], *, run_alive: RunAlive | None = None, hands: Hands | None = None) -> list[str]:
    """One sentence per thing that was put right or could not be; `specs` are model names (or a mapping by name). Never raises for
    one model's trouble: the others are still looked after."""
    used = hands or usual_hands(rt)
    said: list[str] = []
    for row in _lapsed(rt):
        said += _trying(f"rollout {row['id']}", partial(_drive, rt, row, used))
    for row in _forgotten(rt, run_alive):
        said += _trying(f"rollout {row['id']}", partial(_give_up, rt, row, used))
    for model in sorted(specs):
        one = _Model(rt, used, model)
        for act in (one.aliases, one.servers, one.traffic, one.orphans):
            said += _trying(model, act)
    return said + _trying("gateway", partial(_rotate, rt))


def _rotate(rt: Runtime) -> list[str]:
    """Rename a large access log and keep one old one: readers follow the file by its inode."""
    log = rt.settings.gateway_log
    if not log.exists() or log.stat().st_size < LOG_BYTES:
        return []
    log.replace(log.with_name(f"{log.name}.1"))
    EnvoyAdmin(rt.settings.gateway_admin_url).reopen_logs()
    return ["access log rotated"]


def _trying(what: str, act: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return [f"{what}: {sentence}" for sentence in act()]
    except LifecycleError as problem:
        return [f"{what}: not now, {problem}"]


def _lapsed(rt: Runtime) -> list[RowMapping]:
    """Open rollouts that were driven once and are not any more.

    A planned one counts only when it is about to do something: whoever held its lease may have been about to refuse it, and
    without the deploy run's own driver nobody says that it was approved.
    """
    query = select(rollouts).where(rollouts.c.state.in_(OPEN_STATES), rollouts.c.lease_until < func.clock_timestamp())
    with transaction(rt.engine) as connection:
        rows = connection.execute(query).mappings().all()
    return [row for row in rows if row["state"] != State.PLANNED or row["status"].get("pending")]


def _drive(rt: Runtime, row: RowMapping, hands: Hands) -> list[str]:
    """One look, then the lease is given up at once: the rollout's own driver may be back."""
    holder = f"reconcile:{os.getpid()}"
    outcome = drive_once(rt, row["id"], holder, hands=hands)
    with transaction(rt.engine) as connection:
        mine = (rollouts.c.id == row["id"]) & (rollouts.c.lease_holder == holder)
        connection.execute(rollouts.update().where(mine).values(lease_until=func.clock_timestamp()))
    return [f"driven after its lease lapsed; {outcome.state if outcome else 'goes on'}"]


def _forgotten(rt: Runtime, run_alive: RunAlive | None) -> list[RowMapping]:
    """Planned rollouts that nobody drives and whose run has ended, or must have: they would block the model."""
    idle = rollouts.c.lease_until.is_(None) | (rollouts.c.lease_until < func.clock_timestamp())
    waiting = (rollouts.c.state == State.PLANNED.value) & idle
    with transaction(rt.engine) as connection:
        found = connection.execute(select(rollouts).where(waiting)).mappings().all()
    rows = [row for row in found if not row["status"].get("pending")]
    patience = [(row, Plan.model_validate(row["plan"]).approval_timeout + _GRACE) for row in rows]
    ended = {row["id"] for row in rows if run_alive and row["run_id"] and not run_alive(row["model"], row["run_id"])}
    return [row for row, wait in patience if row["id"] in ended or datetime.now(UTC) - row["wall_at"] > wait]


def _give_up(rt: Runtime, row: RowMapping, hands: Hands) -> list[str]:
    outcome = close_rollout(
        rt,
        row["id"],
        f"reconcile:{os.getpid()}",
        _ABANDONED,
        hands=hands,
    )
    return [f"closed as {outcome.state}: {outcome.reason}"]


@dataclass(frozen=True)
class _Model:
    """One model's rows beside what is really there."""

    rt: Runtime
    hands: Hands
    model: str

    def aliases(self) -> Iterator[str]:
        """Report aliases that were moved by hand; they are not followed."""
        for alias, pair in self.hands.foreign_aliases(self.rt, self.model).items():
            reason = f"alias {alias} is at version {pair['found']}, we left it at {pair['expected']}"
            self._report(reason, f"alias:{alias}:{pair['expected']}:{pair['found']}")
            yield reason

    def servers(self) -> Iterator[str]:
        """Start servers that the desired traffic needs and that do not run; a moved port is brought into the row."""
        desired, _ = self._rows()
        if desired is None:
            return
        running, moved = self.hands.target.servers(self.model), {}
        for version, server in desired.servers.items():
            if running.get(version) == server.ports:
                continue
            logs = self.rt.storage.predictions(self.model)
            count = len(server.ports)
            ports = self.hands.target.ensure_server(
                self.model, version, Path(server.folder), server.digest, logs, replicas=count
            )
            moved[version] = Server(ports=ports, digest=server.digest, folder=server.folder)
            yield f"server of version {version} was not running; started on port {', '.join(map(str, ports))}"
        if any(moved[version].ports != desired.servers[version].ports for version in moved):
            self.hands.target.apply(desired.model_copy(update={"servers": desired.servers | moved}))

    def traffic(self) -> Iterator[str]:
        """Apply what was never applied; undo and report weights that were changed by hand."""
        desired, busy = self._rows()
        if desired is None or busy:
            return
        found = self.hands.target.read_back(self.model)
        if found == desired.weights and desired.applied:
            return
        if desired.applied:
            reason = f"gateway has weights {found}, the row says {desired.weights}"
            self._report(reason, f"weights:{desired.revision}:{time.time_ns()}")
        self.hands.target.apply(desired)
        yield f"weights were {found}; applied {desired.weights}"

    def orphans(self) -> Iterator[str]:
        """Stop servers that neither the desired traffic nor an open rollout wants."""
        desired, _ = self._rows()
        with transaction(self.rt.engine) as connection:
            row = open_rollout(connection, self.model)
        wanted = set(desired.weights if desired else ()) | ({row["version"], row["champion"]} if row else set())
        for version in sorted(self.hands.target.idle_servers(self.model, ORPHAN_SECONDS) - wanted):
            self.hands.target.stop_server(self.model, version)
            yield f"server of version {version} was wanted by no row; stopped"

    def _rows(self) -> tuple[DesiredTraffic | None, bool]:
        """The desired traffic, and whether a rollout is in the middle of changing it."""
        with transaction(self.rt.engine) as connection:
            row = open_rollout(connection, self.model)
            return read_desired(connection, self.model), bool(row and row["status"].get("pending"))

    def _report(self, reason: str, key: str) -> None:
        entry = Entry(
            model=self.model,
            kind="foreign_change",
            act="report change by hand",
            reason=reason,
            actor="reconcile",
            idempotency_key=f"foreign:{self.model}:{key}",
        )
        self.rt.ledger.write(entry)
