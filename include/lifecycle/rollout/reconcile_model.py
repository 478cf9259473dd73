"""One model's rows beside what is really there: aliases, servers, traffic, orphans, unfinished rollbacks. Part of reconcile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, RowMapping

from include.lifecycle.alerting.events import end_event, tell_event
from include.lifecycle.alerting.kinds import FOREIGN_CHANGE, MODEL_DOWN, ROLLOUT_BACK
from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError, LifecycleError
from include.lifecycle.ledger import Entry
from include.lifecycle.loading import load_model
from include.lifecycle.rollout.gateway.traffic import Baseline, DesiredTraffic, Server, read_desired
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.watchdog.journal import Returned, clear, returned
from include.lifecycle.rollout.ways_back.rollback import roll_back_model
from include.lifecycle.rollout.ways_back.rollback_notes import unfinished
from include.lifecycle.runtime import RunContext, Runtime

_ALERTS = {"foreign_change": (FOREIGN_CHANGE, ""), "rollback": (ROLLOUT_BACK, "newest"), "alert": (MODEL_DOWN, "server")}
"""Kind of alert, and its key, by the kind of what is reported; a change by hand has a key of its own."""
_PATIENCE = timedelta(minutes=3)  # a rollback that is not over after this has lost its task


@dataclass(frozen=True)
class ModelUpkeep:
    """Looks after one model; every method yields one sentence per thing that it put right or reports."""

    rt: Runtime
    hands: Hands
    model: str

    def rollbacks(self) -> Iterator[str]:
        """Finish a rollback whose task died: the same run again goes exactly where it set out to."""
        with transaction(self.rt.engine) as connection:
            begun = unfinished(connection, self.model)
        if begun is None or datetime.now(UTC) - begun["wall_at"] < _PATIENCE:
            return
        by, _, task = str(begun["actor"]).partition(":")
        run = RunContext(self.model, str(begun["run_id"]), task or "roll_back", by=by)
        outcome = roll_back_model(
            load_model(self.model), self.rt, run, reason=begun["reason"], by="reconcile", to_version=None, hands=self.hands
        )
        yield f"a rollback that was begun by {begun['actor']} is finished: {outcome.reason}"

    def aliases(self) -> Iterator[str]:
        """Report aliases that were moved by hand; they are not followed."""
        found = self.hands.foreign_aliases(self.rt, self.model)
        if not found:
            self._end(FOREIGN_CHANGE, "alias", "the aliases are where we left them")
        for alias, pair in found.items():
            reason = f"alias {alias} is at version {pair['found']}, we left it at {pair['expected']}"
            self._report("foreign_change", "report change by hand", reason, f"alias:{alias}:{pair['expected']}:{pair['found']}")
            yield reason

    def watchdog(self) -> Iterator[str]:
        """Settle what the watchdog returned and no rollout answers for any more; take back the leases of closed rollouts."""
        row = self._open()
        if row is None:
            clear(self.rt.settings, self.model)
        act = returned(self.rt.settings.gateway_dir, self.model)
        if act is None or (row is not None and row["id"] == act.rollout_id):
            return  # its driver, or the next look, takes the rollout back by the usual way
        yield self._settle(act)

    def servers(self) -> Iterator[str]:
        """Start servers and baselines that the desired traffic needs and that do not run; the row learns of moved ports."""
        desired, _ = self._rows()
        if desired is None:
            return
        moved: dict[int, Server] = {}
        for version, server in self._missing(desired):
            fresh = self._start(version, server)
            moved[version] = fresh
            yield f"server of version {version} was not running; started on port {', '.join(map(str, fresh.ports))}"
        baseline = desired.baseline
        if baseline is not None and self._lacks_baseline(desired):
            fresh = self._start(desired.champion or 0, baseline.server, baseline=True)
            baseline = Baseline(percent=baseline.percent, server=fresh)
            yield f"baseline of version {desired.champion} was not running; started on port {fresh.port}"
        self._end(MODEL_DOWN, "server", "its servers run")
        wanted = desired.model_copy(update={"servers": desired.servers | moved, "baseline": baseline})
        if not wanted.same_intent(desired):
            self._apply(wanted, desired)

    def traffic(self) -> Iterator[str]:
        """Apply what was never applied; undo and report what was changed by hand."""
        desired, busy = self._rows()
        if desired is None or busy or returned(self.rt.settings.gateway_dir, self.model) is not None:
            return
        if desired.applied and self.hands.target.follows(desired):
            self._end(FOREIGN_CHANGE, "weights", "the gateway follows its row")
            return
        found = self.hands.target.read_back(self.model)
        if not self._stands(desired):
            return
        if desired.applied:
            reason = f"gateway has weights {found}, the row says {desired.weights}"
            if found == desired.weights:
                reason = f"gateway has the weights {found} of the row, but another baseline, shadow or sticky key"
            self._report("foreign_change", "report change by hand", reason, f"weights:{desired.revision}:{time.time_ns()}")
        self._apply(desired, desired)
        yield f"weights were {found}; applied {desired.weights}"

    def orphans(self) -> Iterator[str]:
        """Stop servers and baselines that neither the desired traffic nor an open rollout wants."""
        desired, _ = self._rows()
        row = self._open()
        wanted = set(desired.weights if desired else ()) | ({row["version"], row["champion"]} if row else set())
        seconds = self.rt.settings.upkeep.orphan_after.total_seconds()
        for version in sorted(self.hands.target.idle_servers(self.model, seconds) - wanted):
            self.hands.target.stop_server(self.model, version)
            yield f"server of version {version} was wanted by no row; stopped"
        measured = {desired.champion} if desired is not None and desired.baseline is not None else set()
        measured |= {row["champion"]} if row else set()
        for version in sorted(self.hands.target.idle_servers(self.model, seconds, baseline=True) - measured):
            self.hands.target.stop_server(self.model, version, baseline=True)
            yield f"baseline of version {version} was wanted by no row; stopped"

    def _settle(self, act: Returned) -> str:
        """Make the row, and the alias where it must, say what the watchdog did."""
        desired, _ = self._rows()
        if desired is None or act.champion not in desired.servers:
            raise GateFailedError(f"the watchdog gave the traffic to version {act.champion}, but no row knows its server")
        server = {act.champion: desired.servers[act.champion]}
        weights = {act.champion: 100}
        wanted = DesiredTraffic(model=self.model, champion=act.champion, weights=weights, servers=server)
        self._apply(wanted, desired)
        reason = f"the watchdog returned the traffic of rollout {act.rollout_id}: {act.reason}"
        if self.hands.champion_of(self.rt, self.model) == act.version:
            key = f"watchdog:{act.rollout_id}:demote"
            self.hands.demote(self.rt, self.model, act.version, act.champion, reason=reason, key=key, actor="reconcile")
        self._report("rollback", f"settle the return to {act.champion}", reason, f"returned:{act.rollout_id}:{act.at}")
        return f"{reason}; the row follows"

    def _apply(self, wanted: DesiredTraffic, seen: DesiredTraffic) -> None:
        """Bring `wanted` into force, unless the row is no longer the one that it was made from: LifecycleError then."""

        def guard(connection: Connection) -> None:
            now = read_desired(connection, self.model)
            if now is None or now.revision != seen.revision:
                found = "no row" if now is None else f"revision {now.revision}"
                raise LifecycleError(
                    f"{self.model}: the traffic was changed by somebody else meanwhile (revision {seen.revision}, now {found})"
                )

        self.hands.target.apply(wanted, guard)

    def _stands(self, seen: DesiredTraffic) -> bool:
        """Whether what the gateway was found with can be held against the row: nobody changed the traffic since it was read."""
        desired, busy = self._rows()
        changed = desired is None or desired.revision != seen.revision
        return not (changed or busy or returned(self.rt.settings.gateway_dir, self.model) is not None)

    def _missing(self, desired: DesiredTraffic) -> list[tuple[int, Server]]:
        running = self.hands.target.servers(self.model)
        return [(version, server) for version, server in desired.servers.items() if running.get(version) != server.ports]

    def _lacks_baseline(self, desired: DesiredTraffic) -> bool:
        if desired.baseline is None or desired.champion is None:
            return False
        running = self.hands.target.servers(self.model, baseline=True)
        return running.get(desired.champion) != desired.baseline.server.ports

    def _start(self, version: int, server: Server, *, baseline: bool = False) -> Server:
        """Have the server again, its files fetched again where they are gone or damaged; one that does not start is a P0 when
        nobody else answers for the model."""
        try:
            return self._started(version, server, baseline=baseline)
        except GateFailedError as problem:
            told = str(problem)
        try:
            folder, digest = self.hands.materialise(self.rt, self.model, version)
            return self._started(version, Server(ports=server.ports, digest=digest, folder=str(folder)), baseline=baseline)
        except LifecycleError as problem:
            if not self.hands.target.servers(self.model):
                reason = f"no server of version {version} starts: {told}; {problem}"
                self._report("alert", "model_down", reason, f"down:{version}:{datetime.now(UTC):%Y-%m-%d}", severity="P0")
            raise

    def _started(self, version: int, server: Server, *, baseline: bool) -> Server:
        logs, count = self.rt.storage.predictions(self.model), len(server.ports)
        ports = self.hands.target.ensure_server(
            self.model, version, Path(server.folder), server.digest, logs, replicas=count, baseline=baseline
        )
        return Server(ports=ports, digest=server.digest, folder=server.folder)

    def _open(self) -> RowMapping | None:
        with transaction(self.rt.engine) as connection:
            return open_rollout(connection, self.model)

    def _rows(self) -> tuple[DesiredTraffic | None, bool]:
        """The desired traffic, and whether a rollout is in the middle of changing it."""
        with transaction(self.rt.engine) as connection:
            row = open_rollout(connection, self.model)
            return read_desired(connection, self.model), bool(row and row["status"].get("pending"))

    def _end(self, kind: str, key: str, reason: str) -> None:
        with transaction(self.rt.engine) as connection:
            end_event(connection, self.rt, kind, self.model, key=key, reason=reason, actor="reconcile")

    def _report(self, kind: str, act: str, reason: str, key: str, **evidence: str) -> None:
        entry = Entry(
            model=self.model,
            kind=kind,
            act=act,
            reason=reason,
            actor="reconcile",
            idempotency_key=f"{'foreign' if kind == 'foreign_change' else kind}:{self.model}:{key}",
            evidence=evidence,
        )
        about = _ALERTS.get(kind)
        with transaction(self.rt.engine) as connection:
            self.rt.ledger.write(entry, connection)
            if about is not None:
                about_key = key.partition(":")[0] if kind == "foreign_change" else about[1]
                tell_event(connection, self.rt, about[0], self.model, key=about_key, reason=reason, actor="reconcile")
