"""A rollout on a real database; its outside world (servers, traffic, aliases) is kept in memory, to be looked at and broken."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.loading import load_model
from include.lifecycle.rollout.gateway.traffic import mark_applied, read_desired, write_desired
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.states import Status
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import candidates, rollouts
from tests.unit.lifecycle.rollout.test_machine import plan_of


class Killed(BaseException):
    """The process died here; nothing catches it."""


@dataclass
class World:
    """Servers, weights in force and aliases of one model; `boundaries` counts effects, `kill_at` dies before that one."""

    rt: object
    aliases: dict = field(default_factory=lambda: {"champion": 7})
    running: dict = field(default_factory=dict)
    baselines: dict = field(default_factory=dict)
    weights: dict = field(default_factory=dict)
    row: object = None
    log: list = field(default_factory=list)
    keys: set = field(default_factory=set)
    boundaries: int = 0
    kill_at: int | None = None
    fail: dict = field(default_factory=dict)

    def boundary(self, name):
        self.boundaries += 1
        if self.kill_at == self.boundaries:
            raise Killed(name)
        if name in self.fail:
            raise self.fail[name]

    # Target
    def ensure_server(self, model, version, folder, digest, log_dir, *, replicas=1, baseline=False):
        self.boundary("ensure_server")
        ports = tuple(18300 + version + 1000 * (number + 10 * baseline) for number in range(replicas))
        kept, before = (self.baselines if baseline else self.running), set()
        if version in kept:
            before = set(kept[version]) - set(ports)
        elif baseline:
            self.log.append(("baseline", version))
        assert not before & self.asked(), f"servers on {before} were stopped while they had traffic"
        kept[version] = ports
        self.boundary("ensured")
        return ports

    def asked(self):
        """Ports that get requests, or copies of them."""
        if self.row is None:
            return set()
        groups = [*self.row.servers.values(), *([self.row.baseline.server] if self.row.baseline else [])]
        return {port for group in groups for port in group.ports}

    def stop_server(self, model, version, *, baseline=False):
        self.boundary("stop_server")
        if baseline:
            assert self.row is None or self.row.baseline is None, "the baseline still has traffic"
            if self.baselines.pop(version, None):
                self.log.append(("end baseline", version))
            self.boundary("stopped")
            return
        assert self.row is None or self.row.mirror is None or self.row.mirror.version != version, "copies still go to it"
        assert not self.weights.get(version), f"stopped version {version} while it had traffic: {self.weights}"
        if self.running.pop(version, None):
            self.log.append(("stop", version))
        self.boundary("stopped")

    def servers(self, model, *, baseline=False):
        return dict(self.baselines if baseline else self.running)

    def idle_servers(self, model, seconds, *, baseline=False):
        return set(self.baselines if baseline else self.running)

    def apply(self, desired, guard=None):
        self.boundary("apply")
        with transaction(self.rt.engine) as connection:
            lock_model(connection, desired.model)
            if guard:
                guard(connection)
            stored = write_desired(connection, desired)
        self.boundary("stored")
        for version, weight in stored.weights.items():
            assert not weight or version in self.running, f"traffic to version {version}, which does not run"
        if self.weights != stored.weights:
            self.log.append(("traffic", dict(stored.weights)))
        running = {port for kept in (self.running, self.baselines) for ports in kept.values() for port in ports}
        self.weights, self.row = dict(stored.weights), stored
        assert self.asked() <= running, f"traffic to {self.asked() - running}, where nobody is"
        self.boundary("in force")
        with transaction(self.rt.engine) as connection:
            mark_applied(connection, desired.model, stored.revision)
        return stored.revision

    def follows(self, desired):
        beside = ("baseline", "mirror", "sticky")
        same = all(getattr(self.row, name) == getattr(desired, name) for name in beside)
        return self.weights == desired.weights and same

    def read_back(self, model):
        return dict(self.weights)

    # Registry
    def promote(self, rt, model, version, *, reason, key, actor, connection):
        self.boundary("promote")
        if key not in self.keys:
            self.log.append(("promote", version))
            self.aliases = {"champion": version, "previous": self.aliases.get("champion")}
            self.keys.add(key)
        self.boundary("promoted")

    def demote(self, rt, model, version, to_version, *, reason, key, actor):
        self.boundary("demote")
        if key not in self.keys:
            self.log.append(("demote", version))
            self.aliases = {"champion": to_version}
            self.keys.add(key)
        self.boundary("demoted")

    def withdraw(self, rt, model, version, *, reason, key, actor):
        self.boundary("withdraw")

    def materialise(self, rt, model, version):
        folder = Path(rt.settings.storage) / "served" / model / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        return folder, f"{version:064d}"

    def hands(self):
        return Hands(
            target=self,
            promote=self.promote,
            demote=self.demote,
            withdraw=self.withdraw,
            champion_of=lambda rt, model: self.aliases.get("champion"),
            previous_of=lambda rt, model: self.aliases.get("previous"),
            foreign_aliases=lambda rt, model: {},
            materialise=self.materialise,
        )


@pytest.fixture
def world(rt):
    """The outside world of model `churn`, whose champion 7 serves everything."""
    from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server

    made = World(rt)
    made.running[7] = (18307,)
    folder, digest = made.materialise(rt, "churn", 7)
    servers = {7: Server(port=18307, digest=digest, folder=str(folder))}
    made.apply(DesiredTraffic(model="churn", champion=7, weights={7: 100}, servers=servers))
    made.log.clear()
    made.boundaries = 0
    return made


@pytest.fixture
def open_rollout(rt):
    """Write a planned rollout of version 8 and its claimed candidate: `open_rollout(**plan changes)` -> id."""

    def write(**changes):
        plan = plan_of(**changes)
        with transaction(rt.engine) as connection:
            candidate = {"model": "churn", "version": 8, "state": "claimed", "verdict": "pass", "created_at": rt.clock.now()}
            candidate_id = connection.execute(candidates.insert().values(candidate).returning(candidates.c.id)).scalar_one()
            row = {"model": "churn", "candidate_id": candidate_id, "version": 8, "champion": plan.champion}
            row |= {"strategy": plan.strategy, "created_at": rt.clock.now(), "run_id": "run-1"}
            row |= {"plan": plan.model_dump(mode="json"), "status": Status().model_dump(mode="json")}
            return connection.execute(rollouts.insert().values(row).returning(rollouts.c.id)).scalar_one()

    return write


@pytest.fixture
def row_of(rt):
    """Read one rollout's row."""

    def read(rollout_id):
        with transaction(rt.engine) as connection:
            return connection.execute(select(rollouts).where(rollouts.c.id == rollout_id)).mappings().one()

    return read


@pytest.fixture
def desired(rt):
    """Read the model's desired traffic."""

    def read(model="churn"):
        with transaction(rt.engine) as connection:
            return read_desired(connection, model)

    return read


@pytest.fixture
def gateway_log(rt):
    """Append answered requests to the gateway's access log: `gateway_log(version, count, failed=..., arm="baseline")`."""
    log = rt.settings.gateway_log
    log.parent.mkdir(parents=True, exist_ok=True)

    def write(version, count, *, failed=0, us=4000, arm=None):
        import time

        with log.open("a") as handle:
            for number in range(count):
                code = 500 if number < failed else 200
                row = {"ts": f"{time.time():.6f}", "model": "churn", "assigned": str(version), "code": code, "us": us, "arm": arm}
                port = 18300 + version + (10_000 if arm == "baseline" else 0)
                handle.write(json.dumps(row | {"host": f"127.0.0.1:{port}", "attempts": 1}) + "\n")

    return write


@pytest.fixture
def spec():
    """An effective spec, to which the tests give the model name that they need."""
    found = load_model("flight_delay")
    return found.model_copy(update={"name": "churn"})


@pytest.fixture
def run():
    """The deploy run's task."""
    return RunContext(model="churn", run_id="manual__1", task="plan_rollout")
