"""One model on a gateway and servers of its own, whose rollouts can be opened, driven, broken and timed under live traffic.

The registry's aliases are kept in memory; database, gateway, supervisord and model servers are real.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.clients import Clients
from benchmarks.gateway_stack import GATEWAY, GatewayStack
from include.lifecycle.database import transaction
from include.lifecycle.results import RolloutOutcome
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, read_desired
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.sources.base import usual_sources
from include.lifecycle.rollout.states import Plan, Status
from include.lifecycle.rollout.targets.embedded import EmbeddedTarget
from include.lifecycle.rollout.targets.programs import ServerProgram
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import candidates, rollouts

MODEL = "flights"
_RULES: dict[str, Any] = {
    "limits": {"error_rate": 0.1, "latency_ratio": 3.0, "latency_floor": "100ms", "performance_drop": 0.2, "dead_after": "1s"},
    "false_rollback_rate": 0.01,
    "give_up_after": "10m",
    "on_inconclusive": "roll_back",
    "bake": "1s",
    "poll": "1s",
    "lease": "60s",
    "approval_timeout": "1h",
}


def stage(percent: int, **more: Any) -> dict[str, Any]:
    """A stage of a plan that lasts a second and 60 requests at least."""
    return {"percent": percent, "at_least": "1s", "requests": 60} | more


@dataclass
class RolloutLab:
    """`real`: versions are ONNX models in the product's server; else tiny servers that behave as `behaviour` says."""

    rt: Runtime
    stack: GatewayStack
    real: bool = True
    behaviour: dict[int, dict[str, Any]] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)

    @property
    def target(self) -> EmbeddedTarget:
        """The embedded target."""
        return EmbeddedTarget(self.rt) if self.real else EmbeddedTarget(self.rt, module="tests.integration.tiny_server")

    @property
    def hands(self) -> Hands:
        """The target, and a registry in memory."""
        return Hands(
            target=self.target,
            promote=lambda rt, model, version, **_: self.aliases.update(champion=version),
            demote=lambda rt, model, version, to_version, **_: self.aliases.update(champion=to_version),
            withdraw=lambda *_, **__: None,
            champion_of=lambda rt, model: self.aliases.get("champion"),
            previous_of=lambda rt, model: self.aliases.get("previous"),
            foreign_aliases=lambda rt, model: {},
            materialise=lambda rt, model, version: self.version(version),
            sources=usual_sources(self.rt),
        )

    def version(self, number: int) -> tuple[Path, str]:
        """Folder and digest of a version; made when it is asked for first."""
        if self.real:
            folder = self.rt.storage.served(MODEL, number)
            return folder, _built(folder, number)
        folder = self._tiny(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "behaviour.json").write_text(json.dumps({"version": number} | self.behaviour.get(number, {})))
        return folder, f"{number:064d}"

    def _tiny(self, number: int) -> Path:
        return self.stack.root / "tiny" / str(number)

    def break_version(self, number: int, **behaviour: Any) -> float:
        """From now on a tiny version behaves so; return the wall time."""
        whole = self._tiny(number) / ".broken"
        whole.write_text(json.dumps(behaviour))
        whole.rename(whole.with_name("broken.json"))
        return time.time()

    def serve(self, number: int, **more: Any) -> Server:
        """Running servers of a version."""
        folder, digest = self.version(number)
        ports = self.target.ensure_server(MODEL, number, folder, digest, self.rt.storage.predictions(MODEL), **more)
        return Server(ports=ports, digest=digest, folder=str(folder))

    def begin(self, champion: int = 1, replicas: int = 1) -> Server:
        """Give all traffic to a version and make it the champion."""
        server = self.serve(champion, replicas=replicas)
        self.apply({champion: 100}, {champion: server}, champion)
        self.aliases = {"champion": champion}
        return server

    def apply(self, weights: dict[int, int], servers: dict[int, Server], champion: int, **beside: Any) -> None:
        """Ask for this traffic and wait until it is in force."""
        self.target.apply(DesiredTraffic(model=MODEL, champion=champion, weights=weights, servers=servers, **beside))

    def open(self, version: int, stages: list[dict[str, Any]], strategy: str = "canary", **rules: Any) -> int:
        """Write a planned rollout of `version` against the present champion; return its id."""
        champion = self.aliases.get("champion")
        told = {"model": MODEL, "version": version, "champion": champion, "strategy": strategy, "stages": stages}
        plan = Plan.model_validate(_RULES | told | rules)
        row: dict[str, Any] = {"model": MODEL, "version": version, "created_at": self.rt.clock.now()}
        with transaction(self.rt.engine) as connection:
            candidate = row | {"state": "claimed", "verdict": "pass"}
            made = connection.execute(candidates.insert().values(candidate).returning(candidates.c.id)).scalar_one()
            more = {"candidate_id": made, "champion": champion, "strategy": strategy, "run_id": f"lab-{time.time_ns()}"}
            documents = {"plan": plan.model_dump(mode="json"), "status": Status().model_dump(mode="json")}
            statement = rollouts.insert().values(row | more | documents).returning(rollouts.c.id)
            return int(connection.execute(statement).scalar_one())

    def drive(self, rollout_id: int, *, pause: float = 0.2, until: int | None = None) -> RolloutOutcome | None:
        """Look until the rollout is closed, or until stage `until` is in force (None is returned then)."""
        patience = 120.0
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            outcome = drive_once(self.rt, rollout_id, "lab", hands=self.hands)
            if outcome is not None:
                return outcome
            if until is not None and self.status(rollout_id).step >= until and self.status(rollout_id).weights:
                return None
            time.sleep(pause)
        raise AssertionError(f"rollout {rollout_id} did not end in {patience:g} s: {self.status(rollout_id)}")

    def status(self, rollout_id: int) -> Status:
        """Where a rollout is."""
        with transaction(self.rt.engine) as connection:
            row = connection.execute(rollouts.select().where(rollouts.c.id == rollout_id)).mappings().one()
        return Status.model_validate(row["status"])

    def desired(self) -> DesiredTraffic | None:
        """The intended traffic."""
        with transaction(self.rt.engine) as connection:
            return read_desired(connection, MODEL)

    def clients(self, count: int = 8, pause: float = 0.01, patience: float = 15.0) -> Clients:
        """Clients of the gateway."""
        path, body = f"/v2/models/{MODEL}/infer", _body() if self.real else b"{}"
        return Clients(self.stack.port, path, body, count=count, pause=pause, patience=patience)

    def kill(self, program: str) -> None:
        """kill -9 of one of supervisord's programs."""
        os.kill(self.stack.supervisor.pid(program), signal.SIGKILL)

    def kill_server(self, version: int) -> None:
        """kill -9 of a version's first server; supervisord starts it again."""
        self.kill(ServerProgram(MODEL, version).name)

    def kill_gateway(self) -> None:
        """kill -9 of Envoy; supervisord starts it again."""
        self.kill(GATEWAY)

    def clear(self) -> None:
        """No traffic, no servers, no versions."""
        self.target.gateway.write(list)
        self.target.processes.stop([one for kind in (False, True) for one in self.target.processes.of(MODEL, baseline=kind)])
        for broken in self._tiny(1).parent.glob("*/broken.json"):
            broken.unlink()
        with transaction(self.rt.engine) as connection:
            for table in ("rollouts", "candidates", "desired_traffic"):
                connection.exec_driver_sql(f"DELETE FROM {table}")


@contextmanager
def cleared(lab: RolloutLab) -> Iterator[RolloutLab]:
    """The lab, cleared afterwards whatever happened."""
    try:
        yield lab
    finally:
        lab.clear()


def _built(folder: Path, number: int) -> str:
    from include.serving.version_folder import MANIFEST
    from tests.unit.serving.folders import build_folder

    if not (folder / MANIFEST).is_file():
        return str(build_folder(folder, "onnx", number))
    import hashlib

    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def _body() -> bytes:
    from tests.unit.serving.folders import one_row, request_body

    return json.dumps(request_body(one_row())).encode()
