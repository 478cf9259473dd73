"""The kill switch in the registry: no promotion and no retirement while frozen; what was begun before is finished."""

from __future__ import annotations

import pytest

from include.lifecycle.errors import GateFailedError, SourceUnavailableError
from include.lifecycle.registry import promotion
from include.lifecycle.rollout.ways_back.freezing import ALL, freeze, unfreeze
from tests.integration.test_registry_promotion import Model
from tests.integration.test_registry_retirement import House

pytestmark = pytest.mark.integration


def test_no_promotion_while_frozen_and_the_way_back_stays_open(make_runtime, mlflow_server, monkeypatch) -> None:
    model = Model(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server))
    model.promote(1)
    model.promote(2)

    def down(*_: object) -> None:
        raise SourceUnavailableError("MLflow went away")

    with monkeypatch.context() as patch:
        patch.setattr(promotion, "_act", down)
        with pytest.raises(SourceUnavailableError):
            model.promote(3, "begun")
    freeze(model.rt, model.name, reason="audit", by="ada")
    model.promote(3, "begun")  # it was intended before the freeze
    assert model.aliases["champion"] == 3
    with pytest.raises(GateFailedError, match=r"a promotion is not allowed now: .* by ada: audit"):
        model.promote(1, "later")
    promotion.demote(model.rt, model.name, 3, 2, **model.said("back"))
    assert model.aliases == {"champion": 2}
    unfreeze(model.rt, model.name, reason="over", by="ada")
    model.promote(1, "later")
    assert model.aliases == {"champion": 1, "previous": 2}


def test_nothing_is_retired_or_removed_while_frozen(make_runtime, mlflow_server) -> None:
    house = House(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server))
    for days, version in enumerate((1, 2, 3)):
        house.after(days=days)
        house.promote(version)
    house.after(days=30)
    freeze(house.rt, ALL, reason="audit", by="ada")
    kept = house.retire()
    assert kept.retired == []
    assert "by ada: audit" in str(kept.kept["1"])
    assert (house.folder(1).is_dir(), set(house.target.running)) == (True, {1, 2, 3, 4})
    unfreeze(house.rt, ALL, reason="over", by="ada")
    assert 1 in house.retire().retired
