"""Errors and latency beside the other arm: which requests are compared, with which share, and what a check says of it."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.rollout.gateway.access_log import parse
from include.lifecycle.rollout.judging.checks import check_error_rate, check_latency, stage_checks
from include.lifecycle.rollout.judging.harm import blocks, known_share, mean_log_e
from include.lifecycle.rollout.judging.measurements import measure, start_of_step
from include.lifecycle.rollout.states import Measurement, Stage, State, Status
from include.lifecycle.statistics.safe_test import SafeTest
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.rollout.test_machine import plan_of

PORTS = {7: (18307,), 8: (18308,)}
LIMITS = {"error_rate": 0.1, "latency_ratio": 2.0, "latency_floor": "10ms", "performance_drop": 0.2, "error_floor": 0.005}


def stage(percent=10, **more):
    return Stage.model_validate({"percent": percent, "at_least": "5m", "requests": 500} | more)


def left(version, at, ms):
    """A client of this version that left `ms` milliseconds after it asked."""
    row = {"ts": f"{at:.6f}", "model": "churn", "assigned": str(version), "host": f"127.0.0.1:{PORTS[version][0]}", "code": 0}
    return json.dumps(row | {"flags": "DC", "us": None, "ms": round(ms), "attempts": 1}) + "\n"


def line(version, at, *, code=200, us=40_000, arm=None, port=None):
    host = f"127.0.0.1:{port or PORTS[version][0]}"
    row = {"ts": f"{at:.6f}", "model": "churn", "assigned": str(version), "host": host, "code": code, "us": round(us), "arm": arm}
    return json.dumps(row | {"attempts": 1}) + "\n"


class Traffic:
    """Ten looks' worth of requests at a time, a tenth of them the challenger's; each arm by its own error rate and median."""

    def __init__(self, tmp_path, *, seed=1, **plan):
        self.log, self.generator, self.now = tmp_path / "access.jsonl", np.random.default_rng(seed), 1000.0
        self.plan = plan_of(limits=LIMITS, **plan)
        self.status = Status(state=State.RUNNING, weights={8: 10, 7: 90}, cursor=start_of_step(self.log, 0.0))

    def second(self, *, errors=(0.01, 0.01), medians=(100.0, 100.0), requests=20, share=0.1, arm=None):
        text = ""
        for at in np.sort(self.generator.random(requests)):
            mine = self.generator.random() < share
            code = 500 if self.generator.random() < errors[mine] else 200
            us = 1000 * medians[mine] * math.exp(0.5 * self.generator.standard_normal())
            text += line(8 if mine else 7, self.now + at, code=code, us=us, arm=None if mine else arm)
        with self.log.open("a") as handle:
            handle.write(text)
        self.now += 1
        seen, cursor = measure(self.plan, self.status, self.log, PORTS)
        self.status = self.status.model_copy(update={"measurement": seen, "cursor": cursor})
        return seen

    def until(self, check, seconds, **how):
        for number in range(1, seconds + 1):
            seen = self.second(**how)
            if check(self.plan, seen, self.plan.stage_at(0)).failed:
                return number, seen
        return None, self.status.measurement


def test_equal_arms_pass_and_are_never_called_worse(tmp_path):
    traffic = Traffic(tmp_path)
    assert traffic.until(check_error_rate, 300)[0] is None
    seen = traffic.status.measurement
    verdicts = stage_checks(traffic.plan, traffic.plan.stage_at(0), seen)
    assert [one.check for one in verdicts] == ["error_rate", "latency", "performance"]
    assert [one.outcome for one in verdicts] == [Outcome.PASS, Outcome.PASS, Outcome.INCONCLUSIVE]
    assert seen.error_test.challenger[1] == seen.requests
    assert seen.error_test.champion[1] == seen.champion_requests


def test_errors_below_the_hard_limit_are_found_beside_the_champion(tmp_path):
    traffic = Traffic(tmp_path, seed=3)
    after, seen = traffic.until(check_error_rate, 600, errors=(0.01, 0.06))
    verdict = check_error_rate(traffic.plan, seen, traffic.plan.stage_at(0))
    assert after is not None
    assert seen.errors / seen.requests < 0.1
    assert "in the same seconds; e-value" in verdict.reason
    assert verdict.evidence["e_value"] >= verdict.evidence["e_needed"] == pytest.approx(1 / traffic.plan.alpha)


def test_slower_by_half_is_found_below_the_hard_limit(tmp_path):
    traffic = Traffic(tmp_path)
    after, seen = traffic.until(check_latency, 600, medians=(100.0, 150.0))
    assert after is not None
    assert seen.slow / seen.timed < 0.2
    assert "slower than the arm beside it" in check_latency(traffic.plan, seen, traffic.plan.stage_at(0)).reason


def test_what_lies_within_the_floor_is_no_harm(tmp_path):
    """Twice as slow, but by 4 ms: below the floor of 10 ms."""
    traffic = Traffic(tmp_path)
    assert traffic.until(check_latency, 300, medians=(4.0, 8.0))[0] is None
    assert traffic.status.measurement.latency_best < 1


def test_a_rise_below_the_floor_is_let_through_however_certain():
    worse = SafeTest()
    for _ in range(3_000):
        worse = worse.after((0, 90), (0.05, 10), 0.1)
    assert worse.rejects(1e-6)
    seen = Measurement(requests=30_000, errors=150, error_test=worse)
    assert check_error_rate(plan_of(limits=LIMITS), seen, stage()).passed
    strict = plan_of(limits=LIMITS | {"error_floor": 0.004})
    assert check_error_rate(strict, seen, stage()).failed


def test_arms_that_did_not_get_their_shares_are_not_compared():
    test = SafeTest()
    for _ in range(40):
        test = test.after((0, 10), (5, 10), 0.1)
    seen = Measurement(requests=400, errors=20, error_test=test)
    verdict = check_error_rate(plan_of(limits=LIMITS), seen, stage(10))
    assert not verdict.failed
    assert "400 of 800" in verdict.evidence["unplanned"]
    assert check_error_rate(plan_of(limits=LIMITS), seen, stage(50)).failed


def test_a_concurrent_baseline_is_what_the_canary_is_compared_with(tmp_path):
    """The champion's old server is faster than both cold ones: that is no harm of the challenger's."""
    steps = [stage(10, baseline=10).model_dump(mode="json")]
    traffic = Traffic(tmp_path, stages=steps)
    for second in range(60):
        traffic.second(medians=(100.0, 100.0), arm="baseline", requests=10, share=0.5)
        at = [traffic.now + part / 40 for part in range(40)]
        with traffic.log.open("a") as handle:
            handle.writelines(line(7, one, us=10_000) for one in at)
        assert not check_latency(traffic.plan, traffic.status.measurement, traffic.plan.stage_at(0)).failed, second
    seen = traffic.status.measurement
    assert seen.baseline_requests > 0
    assert seen.champion_requests > seen.baseline_requests
    assert seen.error_test.champion[1] == seen.baseline_requests
    assert seen.champion_p95_us > 100_000


@pytest.mark.parametrize(
    ("one", "share"),
    [
        (stage(10), 0.1),
        (stage(50), 0.5),
        (stage(10, baseline=10), 0.5),
        (stage(10, kind="ab_test"), None),
        (stage(0, kind="mirror", mirror=50), None),
        (None, None),
    ],
)
def test_the_share_is_known_where_the_gateway_draws(one, share):
    assert known_share(one) == share


def test_a_baseline_server_is_not_rescued_by_itself():
    own = parse(line(7, 1.0, arm="baseline", port=18999).encode(), "churn", PORTS)
    rescued = parse(line(7, 1.0, arm="baseline").encode(), "churn", PORTS)
    assert (own.arm, own.failed, own.rescued) == ("baseline", False, False)
    assert (rescued.failed, rescued.rescued) == (True, True)


def test_blocks_are_seconds(tmp_path):
    requests = [
        parse(line(version, at, code=code).encode(), "churn", PORTS)
        for version, at, code in ((7, 1.1, 200), (7, 1.9, 500), (8, 1.5, 500), (8, 2.0, 200))
    ]
    champion, challenger = requests[:2], requests[2:]
    assert blocks(champion, challenger, lambda one: one.failed, lambda one: one.failed) == [(1, 2, 1, 1), (0, 0, 0, 1)]


@given(st.lists(st.floats(-3, 300), min_size=1, max_size=4))
def test_the_mean_of_e_values_lies_between_them(logs):
    class Fixed:
        def __init__(self, log_e):
            self.log_e = log_e

    found = mean_log_e([Fixed(one) for one in logs])
    assert max(logs) - math.log(len(logs)) - 1e-9 <= found <= max(logs) + 1e-9


def test_percentiles_and_rate_of_each_arm_are_kept(tmp_path):
    traffic = Traffic(tmp_path)
    for _ in range(60):
        seen = traffic.second()
    again = Measurement.model_validate_json(seen.model_dump_json())
    assert again == seen
    assert seen.times["champion"].quantile(0.5) == pytest.approx(100_000, rel=0.1)
    assert seen.times["challenger"].total == seen.requests
    assert (seen.requests + seen.champion_requests) / (seen.last_at - seen.first_at) == pytest.approx(20, rel=0.1)
    assert len(seen.model_dump_json()) < 8_000


def impatient(tmp_path, seconds, *, leaves, hangs=False):
    """20 requests a second, a tenth the canary's; `leaves` of all clients go after 5 ms, for reasons of their own."""
    traffic, draw = Traffic(tmp_path), np.random.default_rng(7)
    for second in range(seconds):
        text = ""
        for number in range(20):
            version, at = 8 if draw.random() < 0.1 else 7, 1000.0 + second + number / 20
            gone = draw.random() < leaves or (hangs and version == 8)
            text += left(version, at, 5) if gone else line(version, at, us=1000 * draw.lognormal(3.7, 0.5))
        with traffic.log.open("a") as handle:
            handle.write(text)
        seen, cursor = measure(traffic.plan, traffic.status, traffic.log, PORTS)
        traffic.status = traffic.status.model_copy(update={"measurement": seen, "cursor": cursor})
    return [one.check for one in stage_checks(traffic.plan, stage(), seen) if one.failed], seen


def test_clients_that_leave_both_arms_alike_are_nobodys_harm(tmp_path):
    failed, seen = impatient(tmp_path, 300, leaves=0.3)
    assert failed == []
    assert seen.left > 100


def test_clients_that_leave_too_soon_for_any_limit_still_show_a_canary_that_hangs(tmp_path):
    failed, seen = impatient(tmp_path, 60, leaves=0.1, hangs=True)
    assert failed == ["error_rate"]
    assert (seen.errors, seen.timed) == (0, 0), "the comparison of both arms found it, no limit did"
