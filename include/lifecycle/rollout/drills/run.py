"""One drill's course: champion, canary at half the traffic, breach, way back; measured while the real driver acts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.rollout.drills.clients import DrillTraffic, TrafficWatch
from include.lifecycle.rollout.drills.model import write_drill_version
from include.lifecycle.rollout.drills.report import DrillReport
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server
from include.lifecycle.rollout.hands import Hands, usual_hands
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.states import Plan, Status
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.storage import sha256_of
from include.lifecycle.tables import ledger, rollouts
from include.serving.version_folder import MANIFEST

CHAMPION, CANARY = 1, 2
PATIENCE = 90.0  # seconds; neither the canary's start nor its way back may take longer
_WARM = 60  # requests of the canary before it is broken
_POLL = 1.0
_TERMS = {
    "strategy": "canary",
    "stages": [{"percent": 50, "at_least": "1h", "requests": 1_000_000}],
    "limits": {"error_rate": 0.1, "latency_ratio": 10.0, "latency_floor": "2s", "performance_drop": 0.2},
    "false_rollback_rate": 0.01,
    "give_up_after": "1h",
    "on_inconclusive": "roll_back",
    "bake": "1h",
    "poll": f"{_POLL:.0f}s",
    "lease": "60s",
    "approval_timeout": "1h",
}


@dataclass(frozen=True)
class DrillRun:
    """A drill under its lock; whoever calls it takes its traces away."""

    rt: Runtime
    run: RunContext
    model: str
    target: EmbeddedTarget

    def measure(self) -> DrillReport:
        """Go through it all once. Raises GateFailedError when the canary gets no traffic or does not lose it in PATIENCE."""
        self._start_champion()
        rollout = self._open()
        with DrillTraffic(self.rt.settings.gateway_url, self.model) as traffic:
            with TrafficWatch(self.target, self.model, CANARY) as watch:
                self._drive(rollout, lambda: self._canary_requests(rollout) >= _WARM, "the canary got no traffic")
                breach = time.time()
                self.target.processes.stop(
                    [one for one in self.target.processes.of(self.model, baseline=False) if one.version == CANARY]
                )
                looks = self._drive(rollout, lambda: False, "the canary kept its traffic")
                closed = time.time()
            time.sleep(_POLL)  # what clients get after the recovery counts, too
        decided = self._decided_at(rollout)
        looked = max((look for look in looks if look <= decided), default=decided)
        return DrillReport(
            model=self.model,
            at=datetime.now(UTC),
            detection=round(looked - breach, 3),
            decision=round(decided - looked, 3),
            traffic=round((watch.gone_at or closed) - decided, 3),
            recovery=round(closed - breach, 3),
            requests=traffic.asked,
            failed=traffic.failed,
        )

    def _start_champion(self) -> None:
        for version in (CHAMPION, CANARY):
            write_drill_version(self.rt.storage.served(self.model, version), self.model, version)
        folder, digest = self._files(self.rt, self.model, CHAMPION)
        ports = self.target.ensure_server(self.model, CHAMPION, folder, digest, self.rt.storage.predictions(self.model))
        servers = {CHAMPION: Server(ports=ports, digest=digest, folder=str(folder))}
        self.target.apply(DesiredTraffic(model=self.model, champion=CHAMPION, weights={CHAMPION: 100}, servers=servers))

    def _open(self) -> int:
        plan = Plan.model_validate({"model": self.model, "version": CANARY, "champion": CHAMPION, **_TERMS})
        row = {"model": self.model, "version": CANARY, "champion": CHAMPION, "strategy": "canary", "run_id": self.run.run_id}
        stored = {"plan": plan.model_dump(mode="json"), "status": Status().model_dump(mode="json")}
        with transaction(self.rt.engine) as connection:
            statement = rollouts.insert().values(row | stored | {"created_at": self.rt.clock.now()})
            return int(connection.execute(statement.returning(rollouts.c.id)).scalar_one())

    def _hands(self) -> Hands:
        """Real servers and traffic; no registry, whose aliases a canary that goes back does not move."""
        return replace(
            usual_hands(self.rt),
            target=self.target,
            champion_of=lambda rt, model: CHAMPION,
            withdraw=lambda *given, **named: None,
            materialise=self._files,
            performance=None,
            pairs=None,
            experiment=None,
        )

    def _files(self, rt: Runtime, model: str, version: int) -> tuple[Path, str]:
        folder = rt.storage.served(model, version)
        return folder, sha256_of(folder / MANIFEST)

    def _drive(self, rollout: int, reached: Callable[[], bool], otherwise: str) -> list[float]:
        """Look once a second until `reached` or the rollout is closed; returns when each look began (epoch seconds)."""
        holder, hands, deadline = f"drill:{self.run.run_id}", self._hands(), time.monotonic() + PATIENCE
        looks: list[float] = []
        while time.monotonic() < deadline:
            looks.append(time.time())
            if drive_once(self.rt, rollout, holder, hands=hands) is not None or reached():
                return looks
            time.sleep(max(0.0, _POLL - (time.time() - looks[-1])))
        raise GateFailedError(f"drill {self.model}: {otherwise} in {PATIENCE:g} s")

    def _canary_requests(self, rollout: int) -> int:
        with transaction(self.rt.engine) as connection:
            status = rollout_row(connection, rollout)["status"]
        return int(status["measurement"]["requests"])

    def _decided_at(self, rollout: int) -> float:
        """When the way back was stored as intended, by the database's clock, which is this machine's."""
        row = ledger.c
        query = select(row.wall_at).where(row.model == self.model, row.act == "roll_back", row.phase == "intended")
        with transaction(self.rt.engine) as connection:
            at = connection.execute(query.order_by(row.id.desc()).limit(1)).scalar()
        if at is None:
            raise GateFailedError(f"drill {self.model}: rollout {rollout} ended without a rollback; see its ledger entries")
        return float(at.timestamp())
