"""Retention: a plan with reasons first, protected sets, removal only where nothing protects, in the registry only where asked."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import uuid4

import pytest

from include.lifecycle.clock import FixedClock
from include.lifecycle.database import transaction
from include.lifecycle.errors import ArtefactDigestError, GateFailedError, SourceQueryError
from include.lifecycle.ledger import Ledger
from include.lifecycle.registry.artefacts import fetch_version, materialise_version, read_file
from include.lifecycle.registry.client import registry_client
from include.lifecycle.registry.promotion import demote, promote
from include.lifecycle.registry.retention import REGISTRY_FILES, SERVED_COPY, VersionPlan, plan_retention
from include.lifecycle.registry.retirement import pin_version, retire_versions
from include.lifecycle.runtime import RunContext, Runtime
from tests.conftest import NOW
from tests.integration.registry_lab import Lab, lab_spec
from tests.integration.test_registry_retirement import House, Servers

pytestmark = pytest.mark.integration


@pytest.fixture
def house(make_runtime, mlflow_server) -> House:
    house = House(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server))
    house.spec = lab_spec(house.name, retention={"keep_versions": 1, "keep_known_good": 0})
    return house


def plan(house: House) -> dict[int, VersionPlan]:
    with transaction(house.rt.engine) as connection:
        return {one.version: one for one in plan_retention(house.spec, house.rt, connection)}


def test_each_protected_set_keeps_its_versions(house: House) -> None:
    house.after(days=30)
    alone = plan(house)
    assert [one.decision for one in alone.values()] == [f"archive, remove {SERVED_COPY}"] * 3 + ["archive"]
    assert alone[4].protected == ["one of the newest 1 (retention.keep_versions)"]
    assert alone[1].reasons == "nobody needs it and nothing protects it"
    house.promote(2)
    house.promote(3)
    house.promote(4)
    house.after(days=60)
    pin_version(house.rt, house.name, 1, "an audit", actor="test")
    found = plan(house)
    assert found[1].protected == ["pinned: an audit"]
    assert found[2].protected == ["the anchor that challengers are compared with"]
    assert (found[3].in_use, found[4].in_use) == ("holds previous", "holds champion")
    house.spec = lab_spec(house.name, retention={"keep_versions": 1, "keep_known_good": 3})
    assert "one of the last 3 champions that were not rolled back (retention.keep_known_good)" in plan(house)[2].protected


def test_a_champion_that_was_rolled_back_is_no_known_good(house: House) -> None:
    house.spec = lab_spec(house.name, retention={"keep_versions": 1, "keep_known_good": 2})
    house.promote(1)
    house.promote(2)
    demote(house.rt, house.name, 2, 1, reason="a test", key=f"{house.name}:back", actor="test")
    house.after(days=30)
    found = plan(house)
    assert found[2].protected == []
    assert any("keep_known_good" in reason for reason in found[1].protected)


def test_a_plan_changes_nothing_and_applying_it_twice_is_applying_it_once(house: House) -> None:
    house.promote(4)
    house.after(days=30)
    before = plan(house)
    assert plan(house) == before
    assert house.rt.ledger.read(house.name, kind="retention") == []
    assert house.retire().retired == [1, 2, 3]
    assert [house.folder(version).exists() for version in (1, 2, 3, 4)] == [False, False, False, True]
    rows = house.rt.ledger.read(house.name, kind="retention")
    assert [(row["act"], row["phase"]) for row in rows[::-1][:2]] == [
        ("remove files of 1", "intended"),
        ("remove files of 1", "done"),
    ]
    assert house.retire().retired == []
    assert len(house.rt.ledger.read(house.name, kind="retention")) == len(rows) == 6
    assert all(one.decision == "keep" for one in plan(house).values())


def test_a_killed_removal_is_finished_by_the_next_run(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.promote(4)
    house.after(days=30)

    class KilledError(BaseException):
        pass

    def killed(*_arguments, **_named):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("include.lifecycle.registry.retirement.shutil.rmtree", killed)
        with pytest.raises(KilledError):
            house.retire()
    assert house.folder(1).exists()
    assert house.retire().retired == [2, 3], "version 1 is archived already; its copy was still to go"
    assert not house.folder(1).exists()
    phases = [row["phase"] for row in house.rt.ledger.read(house.name, kind="retention") if row["act"] == "remove files of 1"]
    assert phases == ["done", "intended"]


def test_a_pin_needs_a_version_and_is_noted(house: House) -> None:
    with pytest.raises(SourceQueryError):
        pin_version(house.rt, house.name, 99, "an audit", actor="test")
    pin_version(house.rt, house.name, 1, "an audit", actor="test")
    pin_version(house.rt, house.name, 1, "an audit", actor="test")
    pin_version(house.rt, house.name, 1, None, actor="test")
    assert [row["act"] for row in house.rt.ledger.read(house.name, kind="retention")] == ["unpin 1", "pin 1"]
    assert house.tag(1, "pinned") is None


def test_model_files_go_from_the_registry_only_where_the_yaml_says_so(make_runtime, mlflow_server) -> None:
    rt = make_runtime(MODELOPS_MLFLOW_URL=mlflow_server)
    keeping = {"keep_versions": 1, "keep_known_good": 0}
    lab = Lab(rt, lab_spec(f"flights_{uuid4().hex[:8]}", retention=keeping))
    name = lab.spec.name
    for number in (1, 2):
        lab.whole(f"manual__{number}", "logistic_regression", seed=number, train_days=20, holdout_days=10, per_day=60)
    promote(rt, name, 2, reason="a test", key=f"{name}:2", actor="test")
    with transaction(rt.engine) as connection:
        from include.lifecycle.tables import candidates

        connection.execute(candidates.update().values(state="superseded"))
    clock = FixedClock(NOW + timedelta(days=30))
    later = Runtime(rt.settings, clock, rt.storage, rt.engine, Ledger(rt.engine, clock))
    context = RunContext(name, "manual__r", "retire")
    assert retire_versions(lab.spec, later, context, target=Servers()).retired == [1]  # type: ignore[arg-type]
    assert materialise_version(later, name, 1)[0].exists(), "the registry still has it"
    deleting = lab_spec(name, retention=keeping | {"artifacts": "delete"})
    with transaction(rt.engine) as connection:
        (first, _) = plan_retention(deleting, later, connection)
    assert first.remove == [SERVED_COPY, REGISTRY_FILES]
    retire_versions(deleting, later, context, target=Servers())  # type: ignore[arg-type]
    with pytest.raises(ArtefactDigestError, match="retention removed its model files"):
        materialise_version(later, name, 1)
    with pytest.raises(ArtefactDigestError, match="retention removed its model files"):
        fetch_version(later, name, 1, rt.storage.root / "x")
    with pytest.raises(GateFailedError, match="retention removed the files of version 1"):
        promote(later, name, 1, reason="a test", key=f"{name}:1", actor="test")
    assert json.loads(read_file(later, name, 1, "record.json"))["model"] == name
    assert registry_client(rt).get_model_version(name, "1").tags["semver"] == "1.0.0"
    retire_versions(deleting, later, context, target=Servers())  # type: ignore[arg-type]
    assert fetch_version(later, name, 2, rt.storage.root / "two").exists()
