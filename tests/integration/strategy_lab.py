"""A model whose champion, version 7, serves live clients on a real Envoy, and a candidate 8 that a strategy brings in."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from include.lifecycle.database import transaction
from include.lifecycle.loading import load_model
from include.lifecycle.results import RolloutOutcome
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, read_desired
from include.lifecycle.rollout.hands import usual_hands
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.planning.planning import plan_rollout
from include.lifecycle.runtime import RunContext
from include.lifecycle.spec import RolloutSection
from include.lifecycle.tables import candidates
from tests.integration.rollout_stack import Clients, quick_target, tiny_version

MODEL = "flights"
SOON = {"at_least": "500ms", "requests": 60}


@dataclass
class Lab:
    """One model on the stack; `behaviour` is that of version 8's servers. `aliases` stand for the registry's."""

    rt: object
    port: int
    replicas: int = 1
    behaviour: dict = field(default_factory=dict)
    aliases: dict = field(default_factory=lambda: {"champion": 7})
    seen: list = field(default_factory=list)

    def __post_init__(self):
        self.target = quick_target(self.rt)
        self.hands = replace(
            usual_hands(self.rt),
            target=self.target,
            champion_of=lambda rt, model: self.aliases["champion"],
            promote=self._promote,
            demote=self._demote,
            withdraw=lambda *given, **named: None,
            materialise=self._folder,
            performance=None,
        )

    def serve_champion(self):
        """Version 7 gets all traffic, from as many servers as the model has."""
        folder, digest = self._folder(self.rt, MODEL, 7)
        logs = self.rt.storage.predictions(MODEL)
        ports = self.target.ensure_server(MODEL, 7, folder, digest, logs, replicas=self.replicas)
        servers = {7: Server(ports=ports, digest=digest, folder=str(folder))}
        self.target.apply(DesiredTraffic(model=MODEL, champion=7, weights={7: 100}, servers=servers))

    def plan(self, strategy, **rules):
        """Plan the rollout of version 8 as a YAML with these rules would; its id."""
        spec = load_model("flight_delay")
        base = spec.rollout.model_dump(mode="json")
        steps = [{"percent": share, **SOON} for share in (10, 50)]
        asked = {"strategy": strategy, "steps": steps, "rolling": SOON, "bake": "500ms"} | rules
        merged = {key: base[key] | value if isinstance(base.get(key), dict) else value for key, value in asked.items()}
        rollout = RolloutSection.model_validate(base | merged)
        server = spec.server.model_copy(update={"replicas": self.replicas})
        spec = spec.model_copy(update={"name": MODEL, "rollout": rollout, "server": server})
        with transaction(self.rt.engine) as connection:
            row = {"model": MODEL, "version": 8, "verdict": "pass", "created_at": self.rt.clock.now()}
            connection.execute(candidates.insert().values(row))
        run = RunContext(model=MODEL, run_id=f"{strategy}-{time.time_ns()}", task="roll_out")
        return plan_rollout(spec, self.rt, run, hands=self.hands).rollout_id

    def drive(self, rollout_id, *, between=lambda: None, seconds=40) -> RolloutOutcome:
        """Look ten times a second until the rollout ends; `seen` holds each split that was in force."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            outcome = drive_once(self.rt, rollout_id, "test", hands=self.hands)
            split = self.target.read_back(MODEL)
            if not self.seen or self.seen[-1] != split:
                self.seen.append(split)
            if outcome is not None:
                return outcome
            between()
            time.sleep(0.1)
        with transaction(self.rt.engine) as connection:
            raise AssertionError(f"not ended in {seconds} s: {rollout_row(connection, rollout_id)['reason']}")

    def clients(self):
        """Six live clients."""
        return Clients(self.port, f"/v2/models/{MODEL}/infer", count=6, pause=0.008)

    def acts(self):
        """What the ledger says was done, in order."""
        rows = reversed(self.rt.ledger.read(MODEL, kind="rollout"))
        return [row["act"] for row in rows if row["phase"] == "done"]

    def desired(self):
        """The model's desired traffic."""
        with transaction(self.rt.engine) as connection:
            return read_desired(connection, MODEL)

    def servers(self):
        """Number of servers by version, and of baselines."""
        running = {version: len(ports) for version, ports in self.target.servers(MODEL).items()}
        return running, len(self.target.servers(MODEL, baseline=True))

    def clear(self):
        """Take away traffic and servers: no client is left for whom they would have to be drained."""
        self.target.gateway.write(list)
        self.target.processes.stop([one for kind in (False, True) for one in self.target.processes.of(MODEL, baseline=kind)])

    def _promote(self, rt, model, version, *, reason, key, actor, connection):
        self.aliases = {"champion": version, "previous": 7}

    def _demote(self, rt, model, version, to_version, *, reason, key, actor):
        self.aliases = {"champion": to_version}

    def _folder(self, rt, model, version):
        return tiny_version(rt, model, version, **(self.behaviour if version == 8 else {}))
