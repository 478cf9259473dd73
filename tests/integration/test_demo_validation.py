"""The demo's two models pass every data check with the defaults, on their first training and on a later one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from include.demo.episodes import Episode
from include.demo.flights import bring_until
from include.lifecycle.clock import FixedClock
from include.lifecycle.data.fetch import fetch_data
from include.lifecycle.data.validation import validate_data
from include.lifecycle.loading import load_model
from include.lifecycle.results import TrainingOrder, ValidatedData
from include.lifecycle.runtime import RunContext, Runtime
from tests.conftest import PostgresServer
from tests.integration.demo_production import Production, create_production

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def production(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    yield create_production(postgres, tmp_path_factory.mktemp("production"))


def checked(model: str, rt: Runtime, run_id: str, production: Production) -> ValidatedData:
    spec, now = load_model(model), rt.clock.now()
    order = TrainingOrder(
        model=model,
        request_ids=[],
        source="manual",
        reason="a test",
        as_of=now,
        window_start=now - spec.data.window,
        window_end=now - spec.labels.mature_after,
    )
    url = production.url.set(password="of-this-test")
    fetched = fetch_data(spec, rt, RunContext(model, run_id, "fetch_data"), order, url)
    return validate_data(spec, rt, RunContext(model, run_id, "validate_data"), fetched)


@pytest.mark.parametrize("model", ["flight_delay", "health_visits"])
def test_the_demos_data_is_good(model: str, production: Production, make_runtime: Callable[..., Runtime], tmp_path: Path):
    cut = Episode(1).cut
    first = checked(model, make_runtime(FixedClock(cut)), "r1", production)
    if model == "flight_delay":
        bring_until(production.url, production.passfile, cut + timedelta(days=28))
    second = checked(model, make_runtime(FixedClock(cut + timedelta(days=28))), "r2", production)
    for result in (first, second):
        assert result.verdict.passed, result.verdict.reason
        assert result.quarantined == 0
    checks = json.loads(second.report.read_text())["checks"]
    outliers = {one["column"]: one["detail"] for one in checks if one["check"] == "outliers"}
    assert set(outliers) == set(load_model(model).features.numeric)
    assert any("since the data of run r1" in one["detail"] for one in checks)
