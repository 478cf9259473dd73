"""Envoy's configuration as rendered: what an installation sets arrives in every route."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.lifecycle.rollout.envoy_config import Timeouts, empty_routes, render_routes
from include.lifecycle.rollout.traffic import DesiredTraffic, Server


def traffic() -> DesiredTraffic:
    servers = {version: Server(port=18300 + version, digest="0" * 64, folder="/served") for version in (1, 2)}
    return DesiredTraffic(model="churn", champion=1, weights={1: 90, 2: 10}, servers=servers, revision=4)


@pytest.mark.parametrize(
    ("request_time", "attempt_time", "written"),
    [
        (timedelta(seconds=10), timedelta(seconds=3), ("10s", "3s")),
        (timedelta(milliseconds=250), timedelta(milliseconds=1), ("0.25s", "0.001s")),
        (timedelta(days=1), timedelta(minutes=10), ("86400s", "600s")),
    ],
)
def test_every_route_to_a_model_waits_as_long_as_the_installation_says(request_time, attempt_time, written):
    (resource,) = render_routes([traffic()], Timeouts(request_time, attempt_time))
    to_models = [one["route"] for one in resource["virtual_hosts"][0]["routes"] if "route" in one]
    assert len(to_models) == 3  # two pinned versions and the weighted one
    assert {(one["timeout"], one["retry_policy"]["per_try_timeout"]) for one in to_models} == {written}


def test_a_gateway_without_models_answers_for_itself_only():
    (resource,) = empty_routes()
    assert [one["name"] for one in resource["virtual_hosts"][0]["routes"]] == ["answer"] * 3
    assert [resource] == render_routes([], Timeouts(timedelta(seconds=1), timedelta(seconds=1)))
