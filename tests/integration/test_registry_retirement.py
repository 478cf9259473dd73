"""Retirement: only what nobody needs, proven to be unserved, once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from include.lifecycle.clock import FixedClock
from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError, LifecycleError
from include.lifecycle.ledger import Ledger
from include.lifecycle.registry.candidates import open_candidate
from include.lifecycle.registry.client import ensure_experiment, registry_client
from include.lifecycle.registry.promotion import demote, promote
from include.lifecycle.registry.retirement import retire_versions
from include.lifecycle.results import Retirement
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic, Server, write_desired
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.tables import candidates, rollouts
from include.lifecycle.verdicts import Outcome
from tests.conftest import NOW
from tests.integration.registry_lab import lab_spec

pytestmark = pytest.mark.integration


class Servers:
    """A target that only remembers: which versions run, and how much traffic each has."""

    def __init__(self) -> None:
        self.running: dict[int, int] = {}
        self.weights: dict[int, int] = {}
        self.stuck = False

    def stop_server(self, model: str, version: int) -> None:
        if self.weights.get(version):
            raise LifecycleError("still has traffic")
        if not self.stuck:
            self.running.pop(version, None)

    def servers(self, model: str) -> dict[int, int]:
        return self.running

    def read_back(self, model: str) -> dict[int, int]:
        return self.weights


class House:
    """A model with versions 1 to 4, each with a server and a served folder; `after` moves the clock."""

    def __init__(self, rt: Runtime) -> None:
        self.rt, self.spec, self.target = rt, lab_spec(f"retire_{uuid4().hex[:8]}", retention={"keep_versions": 2}), Servers()
        self.name, client = self.spec.name, registry_client(rt)
        client.create_registered_model(self.name)
        experiment = ensure_experiment(rt, self.name)
        for version in range(1, 5):
            logged = client.create_logged_model(experiment, name=self.name)
            tags = {"registered_at": NOW.isoformat(), "manifest_digest": "0" * 64, "stage": "None"}
            client.create_model_version(self.name, source=f"models:/{logged.model_id}", model_id=logged.model_id, tags=tags)
            self.folder(version).mkdir(parents=True)
            self.target.running[version] = 18300 + version

    def folder(self, version: int) -> Path:
        return self.rt.storage.served(self.name, version)

    def promote(self, version: int) -> None:
        promote(self.rt, self.name, version, reason="a test", key=f"{self.name}:{version}", actor="test")

    def after(self, **time: int) -> None:
        clock = FixedClock(NOW + timedelta(**time))
        self.rt = Runtime(self.rt.settings, clock, self.rt.storage, self.rt.engine, Ledger(self.rt.engine, clock))

    def retire(self) -> Retirement:
        return retire_versions(self.spec, self.rt, RunContext(self.name, "manual__1", "retire"), target=self.target)  # type: ignore[arg-type]

    def tag(self, version: int, name: str) -> str | None:
        return registry_client(self.rt).get_model_version(self.name, str(version)).tags.get(name)


@pytest.fixture
def house(make_runtime, mlflow_server) -> House:
    return House(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server))


def test_only_the_version_before_the_previous_goes(house: House) -> None:
    for days, version in enumerate((1, 2, 3)):
        house.after(days=days)
        house.promote(version)
    house.after(days=8, hours=23)
    early = house.retire()
    assert early.retired == [4], "never held an alias since it was registered, eight days ago"
    assert "retire_after is 7d" in early.kept["1"]
    house.after(days=9)
    found = house.retire()
    assert found.retired == [1]
    assert found.kept == {"2": "holds previous", "3": "holds champion"}
    assert house.folder(1).exists(), "the first champion is the anchor: its files stay"
    assert house.folder(2).exists()
    assert sorted(house.target.running) == [2, 3]
    assert house.tag(1, "stage") == "Archived"
    assert house.tag(1, "retired_at") == house.rt.clock.now().isoformat()
    rows = house.rt.ledger.read(house.name, kind="retirement")
    assert [(row["act"], row["phase"]) for row in rows[:2]] == [("retire 1", "done"), ("retire 1", "intended")]
    assert rows[0]["evidence"]["servers"] == [2, 3]
    assert rows[0]["evidence"]["copy"] == "kept"
    assert rows[0]["evidence"]["stages"] == {"1": ["None", "Archived"]}
    again = house.retire()
    assert again.retired == []
    assert set(again.kept) == {"2", "3"}


def test_a_rolled_back_version_goes_after_its_time(house: House) -> None:
    house.promote(1)
    house.promote(2)
    house.after(days=5)
    demote(house.rt, house.name, 2, 1, reason="a test", key=f"{house.name}:back", actor="test")
    house.after(days=8)
    assert "without alias since 2013-08-06" in house.retire().kept["2"]
    house.after(days=12)
    assert 2 in house.retire().retired


def test_versions_in_use_stay(house: House) -> None:
    house.promote(4)
    server = Server(port=18302, digest="0" * 64, folder=str(house.folder(2)))
    with transaction(house.rt.engine) as connection:
        plan = {"model": house.name, "version": 1, "champion": 4, "strategy": "canary", "state": "baking", "created_at": NOW}
        connection.execute(rollouts.insert().values(plan))
        weights = DesiredTraffic(model=house.name, champion=4, weights={4: 100, 2: 0}, servers={4: server, 2: server})
        write_desired(connection, weights)
        open_candidate(house.rt, connection, house.name, 3, "run", Outcome.PASS, {})
    house.after(days=30)
    found = house.retire()
    assert found.retired == []
    assert "open rollout" in found.kept["1"]
    assert "0 % of the traffic" in found.kept["2"]
    assert "candidate waits" in found.kept["3"]
    with transaction(house.rt.engine) as connection:
        connection.execute(candidates.update().values(state="superseded"))
    assert house.retire().retired == [3]


def test_an_incomplete_registration_and_a_hand_taken_alias_stay(house: House) -> None:
    client = registry_client(house.rt)
    house.promote(1)
    client.delete_registered_model_alias(house.name, "champion")
    client.delete_model_version_tag(house.name, "2", "manifest_digest")
    house.after(days=30)
    found = house.retire()
    assert "taken by hand" in found.kept["1"]
    assert "not complete" in found.kept["2"]
    assert found.retired == [3, 4]


def test_a_server_that_does_not_stop_stops_the_retirement(house: House) -> None:
    house.promote(4)
    house.after(days=30)
    house.target.stuck = True
    with pytest.raises(GateFailedError, match="still served"):
        house.retire()
    assert house.tag(1, "retired_at") is None
    house.target.stuck = False
    assert house.retire().retired == [1, 2, 3]
    phases = [row["phase"] for row in house.rt.ledger.read(house.name, kind="retirement") if row["act"] == "retire 1"]
    assert phases == ["done", "intended"]


def test_traffic_by_hand_keeps_a_version_alive(house: House) -> None:
    house.promote(4)
    house.after(days=30)
    house.target.weights = {1: 50, 4: 50}
    with pytest.raises(LifecycleError, match="still has traffic"):
        house.retire()
    assert house.folder(1).exists()


def test_the_newest_keep_their_served_copy_until_newer_ones_come(house: House) -> None:
    house.promote(4)
    house.after(days=30)
    assert house.retire().retired == [1, 2, 3]
    assert [house.folder(version).exists() for version in (1, 2, 3)] == [False, False, True]
    assert house.tag(3, "stage") == "Archived"
    house.spec = lab_spec(house.name, retention={"keep_versions": 1})
    assert house.retire().retired == []
    assert not house.folder(3).exists()


def test_a_version_that_came_back_can_be_retired_again(house: House) -> None:
    house.promote(4)
    house.after(days=30)
    house.retire()
    house.promote(1)
    assert house.tag(1, "stage") == "Production"
    demote(house.rt, house.name, 1, 4, reason="a test", key=f"{house.name}:back", actor="test")
    house.after(days=60)
    assert house.retire().retired == [1]
    rows = [row for row in house.rt.ledger.read(house.name, kind="retirement") if row["act"] == "retire 1"]
    assert [row["phase"] for row in rows] == ["done", "intended"] * 2
