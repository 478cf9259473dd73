"""Envoy's configuration as rendered: what an installation sets arrives in every route."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.rollout.gateway.arms import Split, arms_of, pools_of, pools_with_traffic
from include.lifecycle.rollout.gateway.envoy_clusters import endpoint_ports, render_clusters, render_endpoints
from include.lifecycle.rollout.gateway.envoy_config import Timeouts, empty_routes, render_routes
from include.lifecycle.rollout.gateway.traffic import Baseline, DesiredTraffic, Mirror, Server

SHORT = Timeouts(timedelta(seconds=1), timedelta(seconds=1))


def server(*ports: int) -> Server:
    return Server(ports=ports, digest="0" * 64, folder="/served")


def traffic(**changes) -> DesiredTraffic:
    values = {"weights": {1: 90, 2: 10}, "servers": {1: server(18301), 2: server(18302, 18312)}, "revision": 4}
    return DesiredTraffic(model="churn", champion=1, **values | changes)


def routes_of(row: DesiredTraffic) -> list:
    (resource,) = render_routes([row], SHORT)
    return [one for one in resource["virtual_hosts"][0]["routes"] if one["name"] == "churn"]


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


@given(st.integers(0, 100), st.data())
def test_the_arms_always_share_all_requests(percent, data):
    baseline = data.draw(st.integers(0, 100 - percent))
    row = traffic(weights={1: 100 - percent, 2: percent}, baseline=Baseline(percent=baseline, server=server(18401)))
    arms = arms_of(row)
    assert [(arm.version, arm.kind) for arm in arms] == [(1, "live"), (1, "baseline"), (2, "live")]
    assert [arm.percent for arm in arms] == [100 - percent - baseline, baseline, percent]
    (route,) = routes_of(row)
    weighted = route["route"]["weighted_clusters"]["clusters"]
    assert [one["name"] for one in weighted] == ["churn-1", "churn-1-baseline-or-1", "churn-2-or-1"]
    assert sum(one["weight"] for one in weighted) == 100
    assert Split.of(row) == Split({1: 100 - percent, 2: percent}, baseline=(1, baseline))


def test_no_client_decides_what_it_is_counted_as():
    row = traffic(baseline=Baseline(percent=10, server=server(18401)), mirror=Mirror(version=2, percent=5))
    for arm in routes_of(row)[0]["route"]["weighted_clusters"]["clusters"]:
        assert {"x-modelops-arm", "x-modelops-unit"} <= set(arm["request_headers_to_remove"])
        assert "x-modelops-assigned" in {one["header"]["key"] for one in arm["request_headers_to_add"]}


def test_a_shadow_has_a_pool_of_its_own_that_cannot_take_much(tmp_path):
    row = traffic(weights={1: 100, 2: 0}, mirror=Mirror(version=2, percent=5))
    clusters = {one["name"]: one for one in render_clusters([row], tmp_path)}
    assert clusters.keys() == {"churn-1", "churn-2", "churn-2-or-1", "churn-2-shadow"}
    shadow, live = clusters["churn-2-shadow"], clusters["churn-2"]
    assert shadow["circuit_breakers"]["thresholds"][0]["max_requests"] == 64
    assert ("outlier_detection" in shadow, "outlier_detection" in live) == (False, True)
    (policy,) = routes_of(row)[0]["route"]["request_mirror_policies"]
    assert (policy["cluster"], policy["runtime_fraction"]["default_value"]["numerator"]) == ("churn-2-shadow", 5)
    assert pools_with_traffic([row]) == {"churn-1", "churn-2-shadow"}


def test_a_request_without_the_header_is_outside_the_experiment():
    split, outside = routes_of(traffic(sticky="x-user-id"))
    assert split["match"]["headers"][0]["name"] == "x-user-id"
    assert split["route"]["weighted_clusters"]["use_hash_policy"] is True
    assert (outside["route"]["cluster"], "headers" in outside["match"]) == ("churn-1", False)
    assert "x-modelops-assigned" in outside["request_headers_to_remove"]


def test_endpoints_are_read_back_as_they_were_written():
    written = render_endpoints(pools_of(traffic()))
    assert {name: endpoint_ports(found) for name, found in written.items()} == {"churn-1": (18301,), "churn-2": (18302, 18312)}
    # one healthy server keeps its pool's requests: else an arm that grows would be counted as failing over
    assert {found[0]["policy"]["overprovisioning_factor"] for found in written.values()} == {3200}


def test_without_a_champion_beside_it_nothing_is_sticky():
    row = traffic(weights={2: 100}, sticky="x-user-id")
    assert (len(routes_of(row)), Split.of(row)) == (1, Split({2: 100}))
