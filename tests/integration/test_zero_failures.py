"""Clients notice nothing: every way a version takes or gives back the traffic, real servers dying under it, sick shadows."""

import pytest

from benchmarks import rollout_scenarios as scenarios
from benchmarks.rollout_lab import RolloutLab

pytestmark = pytest.mark.integration


@pytest.fixture
def real(stack, make_runtime):
    """ONNX models in the product's server."""
    return RolloutLab(make_runtime(**stack.environment), stack)


@pytest.fixture
def lab(stack, make_runtime):
    """Servers that start and end at once."""
    return RolloutLab(make_runtime(**stack.environment), stack, real=False)


def shown(found):
    print(found)
    return found


def test_a_canary_with_a_concurrent_baseline(real):
    found = shown(scenarios.canary(real, baseline=True, shares=(30,)))
    assert (found["failed"], found["state"], found["champion"], found["alone"]) == (0, "promoted", 2, True), found


def test_blue_green(lab):
    found = shown(scenarios.blue_green(lab))
    assert (found["failed"], found["state"], found["champion"], found["alone"]) == (0, "promoted", 2, True), found


def test_rolling(lab):
    found = shown(scenarios.rolling(lab, replicas=2))
    assert (found["failed"], found["state"], found["champion"], found["alone"]) == (0, "promoted", 2, True), found


@pytest.mark.parametrize("after_promotion", [False, True])
def test_the_way_back(lab, after_promotion):
    found = shown(scenarios.rollback(lab, after_promotion=after_promotion))
    assert (found["failed"], found["state"], found["back"]) == (0, "aborted", True), found


def test_the_only_canary_server_is_killed(real):
    found = shown(scenarios.dead_canary(real, 1))
    assert found["failed"] == 0, found


def test_the_gateway_is_killed(lab):
    found = shown(scenarios.dead_gateway(lab, 1))
    assert (found["split_kept"], found["other"]) == (True, 0), found


def test_a_sick_shadow_harms_no_client(lab):
    found = shown(scenarios.bad_shadows(lab, 1.0, [{"fail": 1}, {"delay_ms": 400}, {"hang": True}, {"refuse": True}]))
    assert (found["failed"], found["answered_by"]) == (0, ["1"]), found
    assert all(copies > 0 for copies in found["copies"][:3]), found
