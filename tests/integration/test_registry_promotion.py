"""Aliases: moved by plan, once, readable afterwards; foreign moves seen; kills finished."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest

from include.lifecycle.database import lock_model, transaction
from include.lifecycle.errors import GateFailedError, SourceQueryError, SourceUnavailableError
from include.lifecycle.registry import promotion
from include.lifecycle.registry.client import (
    alias_version,
    aliases_of,
    champion_version,
    ensure_experiment,
    registry_client,
    versions_of,
)
from include.lifecycle.registry.promotion import demote, foreign_aliases, nominate, promote, withdraw
from include.lifecycle.runtime import Runtime

pytestmark = pytest.mark.integration


class Model:
    """A registered model with three empty versions, and shorthands for its moves."""

    def __init__(self, rt: Runtime) -> None:
        self.rt, self.name = rt, f"alias_{uuid4().hex[:8]}"
        client = registry_client(rt)
        experiment = ensure_experiment(rt, self.name)
        client.create_registered_model(self.name)
        for _ in range(3):
            logged = client.create_logged_model(experiment, name=self.name)
            client.create_model_version(self.name, source=f"models:/{logged.model_id}", model_id=logged.model_id)

    def said(self, key: str) -> dict[str, str]:
        return {"reason": "a test", "key": f"{self.name}:{key}", "actor": "test"}

    def promote(self, version: int, key: str | None = None) -> None:
        promote(self.rt, self.name, version, **self.said(key or f"promote-{version}"))

    @property
    def aliases(self) -> dict[str, int]:
        return aliases_of(self.rt, self.name)

    @property
    def stages(self) -> list[str | None]:
        return [entry.tags.get("stage") for entry in versions_of(self.rt, self.name)]

    def phases(self) -> list[tuple[str, str]]:
        return [(row["act"], row["phase"]) for row in reversed(self.rt.ledger.read(self.name, kind="promotion"))]


@pytest.fixture
def model(make_runtime, mlflow_server) -> Model:
    return Model(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server))


def test_a_whole_life_of_aliases(model: Model) -> None:
    assert champion_version(model.rt, model.name) is None
    assert champion_version(model.rt, "never_registered") is None
    model.promote(1)
    nominate(model.rt, model.name, 2, **model.said("n2"))
    assert model.aliases == {"champion": 1, "challenger": 2}
    model.promote(2)
    assert model.aliases == {"champion": 2, "previous": 1}
    assert model.stages[:2] == ["Production", "Staging"][::-1]
    nominate(model.rt, model.name, 3, **model.said("n3"))
    withdraw(model.rt, model.name, 3, **model.said("w3"))
    assert model.aliases == {"champion": 2, "previous": 1}
    demote(model.rt, model.name, 2, 1, **model.said("d2"))
    assert model.aliases == {"champion": 1}
    assert model.stages == ["Production", "None", "None"]
    demote(model.rt, model.name, 1, None, **model.said("d1"))
    assert model.aliases == {}
    assert alias_version(model.rt, model.name, "previous") is None
    assert {phase for _, phase in model.phases()} == {"intended", "done"}
    assert foreign_aliases(model.rt, model.name) == {}


def test_the_same_key_moves_once(model: Model) -> None:
    model.promote(1)
    model.promote(2)
    model.promote(1, "promote-1")
    assert model.aliases == {"champion": 2, "previous": 1}
    assert len(model.phases()) == 4


def test_promoting_the_champion_again_keeps_its_predecessor(model: Model) -> None:
    model.promote(1)
    model.promote(2)
    model.promote(2, "again")
    assert model.aliases == {"champion": 2, "previous": 1}


@pytest.mark.parametrize("step", ["_set_aliases", "_set_stages"])
def test_a_kill_in_the_middle_is_finished_by_the_same_call(model: Model, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    class KilledError(BaseException):
        pass

    real = getattr(promotion, step)

    def killed(*arguments):
        real(*arguments)
        raise KilledError

    model.promote(1)
    with monkeypatch.context() as patch:
        patch.setattr(promotion, step, killed)
        with pytest.raises(KilledError):
            model.promote(2)
    assert foreign_aliases(model.rt, model.name) == {}, "a move of ours under way is no surprise"
    model.promote(2)
    assert model.aliases == {"champion": 2, "previous": 1}, "previous is who was champion before, not the half-moved state"
    assert model.phases()[2:] == [("promote 2", "intended"), ("promote 2", "done")]


def test_an_old_plan_is_not_taken_up_after_a_newer_move(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.promote(1)
    with monkeypatch.context() as patch:
        patch.setattr(promotion, "_act", lambda *_: None)
        model.promote(2)
    model.promote(3)
    with pytest.raises(GateFailedError, match="was planned before"):
        model.promote(2)
    assert model.aliases == {"champion": 3, "previous": 1}


def test_a_version_that_does_not_exist_moves_nothing(model: Model) -> None:
    model.promote(1)
    with pytest.raises(SourceQueryError, match="version 9"):
        model.promote(9)
    assert model.aliases == {"champion": 1}


def test_an_alias_moved_by_hand_is_seen_and_told_but_not_followed(model: Model) -> None:
    model.promote(1)
    registry_client(model.rt).set_registered_model_alias(model.name, "champion", "3")
    assert foreign_aliases(model.rt, model.name) == {"champion": {"expected": 1, "found": 3}}
    model.promote(2)
    evidence = model.rt.ledger.read(model.name, kind="promotion")[0]["evidence"]
    assert evidence["foreign"] == {"champion": {"expected": 1, "found": 3}}
    assert foreign_aliases(model.rt, model.name) == {}


def test_moves_that_are_undone_behind_our_back_fail(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "_set_aliases", lambda *_: None)
    with pytest.raises(GateFailedError, match=r"the aliases are \{\}; intended were"):
        model.promote(1)
    assert model.phases() == [("promote 1", "intended"), ("promote 1", "failed")]


def test_moves_wait_for_the_models_lock_or_use_the_callers(model: Model) -> None:
    done = threading.Event()

    def other() -> None:
        model.promote(2)
        done.set()

    with transaction(model.rt.engine) as connection:
        lock_model(connection, model.name)
        waiting = threading.Thread(target=other)
        waiting.start()
        assert not done.wait(1)
        promote(model.rt, model.name, 1, **model.said("mine"), connection=connection)
    assert done.wait(30)
    waiting.join()
    assert model.aliases == {"champion": 2, "previous": 1}


def test_a_lock_that_never_comes_free_is_retryable(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "_LOCK_WAIT", "200ms")
    with transaction(model.rt.engine) as connection:
        lock_model(connection, model.name)
        with pytest.raises(SourceUnavailableError, match="lock timeout"):
            model.promote(1)


def test_a_dead_mlflow_is_retryable_and_leaves_no_intent(make_runtime) -> None:
    rt = make_runtime(MODELOPS_MLFLOW_URL="http://127.0.0.1:9")
    with pytest.raises(SourceUnavailableError, match="did not answer"):
        promote(rt, "any_model", 1, reason="a test", key="any", actor="test")
    assert rt.ledger.read("any_model") == []


def test_only_challenger_and_shadow_are_nominated(model: Model) -> None:
    with pytest.raises(ValueError, match="champion"):
        nominate(model.rt, model.name, 1, **model.said("x"), alias="champion")
