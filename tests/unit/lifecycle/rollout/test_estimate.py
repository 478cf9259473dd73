"""What a plan's estimate says: durations from traffic, what cannot end in time, and how small a harm its tests find."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.rollout.planning.estimate import describe, estimate, time_for
from include.lifecycle.rollout.planning.recent_traffic import RecentTraffic, busiest_rate, recent_traffic
from include.lifecycle.rollout.planning.visible_harm import POWER, smallest_rise, visible_harm
from include.lifecycle.rollout.states import Stage
from include.lifecycle.rollout.telling.phrases import rough
from include.lifecycle.statistics import safe_test
from tests.unit.lifecycle.rollout.test_machine import plan_of

NOW = 1_800_000_000.0


def stage(percent=10, requests=500, at_least="5m", **more):
    return {"percent": percent, "requests": requests, "at_least": at_least} | more


def at(per_minute, *, busiest=None, **more):
    """Traffic of the last hour at that mean."""
    rate = None if busiest is None else busiest / 60
    return RecentTraffic(requests=round(per_minute * 60), seconds=3600, busiest=rate, **more)


def minutes(number):
    return timedelta(minutes=number)


def test_a_stage_takes_its_time_or_what_its_requests_need():
    plan = plan_of(stages=[stage(10, 500), stage(50, 500), stage(50, 0)])
    found = estimate(plan, at(600))
    assert [one.expected for one in found.stages] == [pytest.approx(minutes(500 / 60), abs=minutes(0.01)), minutes(5), minutes(5)]
    assert found.at_least == minutes(15)
    assert found.expected == pytest.approx(minutes(10 + 500 / 60), abs=minutes(0.01))
    assert found.problem == ""


@pytest.mark.parametrize(
    ("one", "share"),
    [
        (stage(25), 0.25),
        (stage(0, kind="mirror", mirror=40), 0.40),
        (stage(10, kind="ab_test"), 0.10),
        (stage(0, kind="ab_test", baseline=30), 0.30),
    ],
)
def test_each_kind_counts_its_own_requests(one, share):
    made = Stage.model_validate(one | {"at_least": "0s", "requests": 60})
    assert time_for(made, 1.0).total_seconds() == pytest.approx(60 / share)


def test_a_plan_that_cannot_end_names_the_numbers():
    plan = plan_of(stages=[stage(10, 500)], give_up_after="2h")
    found = estimate(plan, at(4, busiest=12))
    assert found.problem == (
        "stage 1 (10 % of the traffic to the challenger) needs 500 requests; at 12 requests/min, the busiest of the last day, "
        "that takes 6.9 h; give_up_after is 2 h"
    )
    assert describe(found)[-1] == f"It cannot end in time: {found.problem}."


def test_the_busiest_stretch_decides_and_not_the_mean():
    plan = plan_of(stages=[stage(10, 500)], give_up_after="2h")
    assert estimate(plan, at(12, busiest=60)).problem == ""


def test_stages_share_give_up_after_but_not_their_own_at_most():
    three = [stage(10, 500), stage(20, 1000), stage(40, 2000)]
    late = estimate(plan_of(stages=three, give_up_after="2h"), at(60, busiest=60))
    assert "stage 2" in late.problem
    assert "after 1.4 h for the stages before" in late.problem
    own = [stage(10, 500, kind="ab_test", at_most="1h"), stage(50, 100)]
    assert "its at_most is 1 h" in estimate(plan_of(stages=own, give_up_after="48h"), at(60, busiest=60)).problem
    assert estimate(plan_of(stages=[stage(10, 500, kind="ab_test", at_most="3h")]), at(60, busiest=60)).problem == ""


def test_unknown_traffic_is_said_and_refuses_nothing():
    found = estimate(plan_of(stages=[stage(10, 500)], give_up_after="1m"), RecentTraffic())
    assert (found.expected, found.stages[0].expected, found.problem) == (None, None, "")
    told = describe(found)
    assert "Traffic unknown" in told[0]
    assert "at least 5 min, longer as the traffic has it" in told[2]
    assert "an assumed 1%" in told[3]


def test_no_copies_never_end():
    made = Stage.model_validate(stage(0, 5, kind="mirror", mirror=0))
    assert time_for(made, 100.0) == timedelta.max


def test_a_person_stands_in_the_words():
    told = describe(estimate(plan_of(stages=[stage(10, 500, manual=True)]), at(600)))
    assert "then a person resumes it" in told[1]
    assert "besides the wait for a person" in told[2]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (45, "45 s"), (90, "1.5 min"), (720, "12 min"), (25_200, "7 h"), (300_000, "3.5 days")]
)
def test_rough_durations(seconds, text):
    assert rough(timedelta(seconds=seconds)) == text


def power(base, rise, ours, share, alpha, streams=300, blocks=25):
    """Share of simulated rollouts in which the checks' own safe test finds the rise."""
    random = np.random.default_rng(20130101)
    state = safe_test.empty((streams,))
    theirs = round(ours * (1 - share) / share)
    for _ in range(blocks):
        totals = theirs // blocks, ours // blocks
        hits = random.binomial(totals[0], base, streams), random.binomial(totals[1], base + rise, streams)
        block = [hits[0], np.full(streams, totals[0]), hits[1], np.full(streams, totals[1])]
        state = safe_test.advance(state, np.stack(block), share)
    return float(np.mean(state[safe_test._BEST] >= -np.log(alpha)))


@pytest.mark.parametrize(("base", "ours", "share"), [(0.002, 3000, 0.1), (0.01, 500, 0.1), (0.01, 500, 0.5), (0.05, 1500, 0.25)])
def test_the_smallest_rise_is_found_with_the_power_that_is_said(base, ours, share):
    rise = smallest_rise(base, ours, round(ours * (1 - share) / share), 0.001)
    assert POWER - 0.05 <= power(base, rise, ours, share, 0.001) <= 0.93
    assert power(base, 0.6 * rise, ours, share, 0.001) < 0.6


@given(st.integers(20, 20_000), st.integers(20, 20_000), st.floats(0.001, 0.2), st.floats(1e-4, 0.1))
def test_more_requests_and_a_laxer_level_see_smaller_harm(ours, theirs, base, alpha):
    first = smallest_rise(base, ours, theirs, alpha)
    more, laxer = smallest_rise(base, 2 * ours, 2 * theirs, alpha), smallest_rise(base, ours, theirs, 2 * alpha)
    if first is None:
        return
    assert 0 < first < 1 - base
    assert more is not None
    assert laxer is not None
    assert more <= first + 1e-9
    assert laxer <= first + 1e-9


def test_the_latency_factor_is_what_moves_that_many_requests_over_the_champions_p95():
    times = sorted(int(one) for one in np.random.default_rng(1).lognormal(np.log(20_000), 0.5, 4000))
    plan = plan_of(stages=[stage(50, 500)])
    traffic = at(600, champion_requests=4000, champion_errors=20, latencies_us=times)
    harm = visible_harm(plan, traffic, [minutes(5)])
    p95 = np.quantile(times, 0.95)
    slow = float(np.mean(np.array(times) * harm.latency_factor > p95))
    rise = smallest_rise(0.05, harm.requests, harm.requests, plan.alpha)
    assert slow == pytest.approx(0.05 + rise, abs=0.01)
    assert (harm.base, harm.base_known, harm.requests) == (pytest.approx(0.0051, abs=1e-4), True, 1500)
    assert "latency" in harm.told


def test_a_baseline_is_a_smaller_arm_to_compare_with():
    limits = plan_of().limits.model_copy(update={"error_floor": 0.005})
    plans = [plan_of(stages=[stage(10, 500, baseline=share)], limits=limits) for share in (10, 0)]
    beside, alone = (visible_harm(plan, at(600), [minutes(9)]) for plan in plans)
    assert beside.requests == alone.requests
    assert beside.rise > alone.rise


def test_a_rise_that_no_check_acts_on_is_not_promised():
    limits = plan_of().limits.model_copy(update={"error_floor": 0.2})
    assert visible_harm(plan_of(stages=[stage(50, 5000)], limits=limits), at(600), [minutes(90)]).rise == 0.2


def test_without_stages_all_traffic_goes_at_once():
    told = describe(estimate(plan_of(strategy="direct", stages=[]), at(600)))
    assert told[1] == "All traffic at once; then a bake of 24 h."


def test_copied_requests_have_no_client_to_fail():
    plan = plan_of(strategy="shadow", stages=[stage(0, 500, kind="mirror", mirror=100)])
    assert visible_harm(plan, at(600), [minutes(5)]).told.startswith("No stage compares live requests")


def lines(model, times, *, assigned='"7"', code=200, us=4000):
    row = '{{"ts":"{at:.6f}","model":"{model}","assigned":{assigned},"code":{code},"us":"{us}","host":"h:1","attempts":1}}\n'
    return "".join(row.format(at=at, model=model, assigned=assigned, code=code, us=us) for at in times)


def test_traffic_is_read_from_the_gateways_log_and_the_one_before(tmp_path):
    log = tmp_path / "access.jsonl"
    before = [NOW - 7000 + number for number in range(0, 3000, 10)]
    log.with_name("access.jsonl.1").write_text(lines("churn", [NOW - 90_000, *before]))
    newer = [NOW - 599.5 + number for number in range(600)]
    text = lines("churn", newer) + lines("other", newer) + lines("churn", [NOW - 1], assigned="null") + '{"torn'
    log.write_text(text + "\n" + lines("churn", [NOW - 5], assigned='"8"', code=500) + lines("churn", [NOW - 4], code=503))
    found = recent_traffic(log, "churn", 7, give_up_after=timedelta(hours=1), now=NOW)
    assert (found.requests, found.seconds) == (602, 3600)
    assert found.busiest == pytest.approx(0.17, abs=0.02)
    assert (found.champion_requests, found.champion_errors, len(found.latencies_us)) == (901, 1, 900)
    short = recent_traffic(log, "churn", 7, give_up_after=timedelta(minutes=1), now=NOW)
    assert (short.requests, short.seconds) == (602, 600)
    assert short.busiest == pytest.approx(1.0, abs=0.05)
    day = recent_traffic(log, "churn", 7, give_up_after=timedelta(hours=24), now=NOW)
    assert (day.requests, day.seconds, day.busiest) == (902, pytest.approx(7000), None)
    assert recent_traffic(log, "nobody", 7, give_up_after=timedelta(hours=1), now=NOW).per_second is None
    assert recent_traffic(tmp_path / "none", "churn", 7, give_up_after=timedelta(hours=1), now=NOW) == RecentTraffic(seconds=1.0)


def test_a_long_log_is_read_in_blocks_from_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("include.lifecycle.rollout.planning.recent_traffic._BLOCK", 1000)
    log = tmp_path / "access.jsonl"
    log.write_text(lines("churn", [NOW - 300 + number / 10 for number in range(3000)]))
    assert recent_traffic(log, "churn", 7, give_up_after=timedelta(hours=1), now=NOW).requests == 3000


def test_busiest_needs_a_history_as_long_as_the_stretch():
    bins = np.zeros(8640, dtype=np.int64)
    bins[-12:] = 100
    assert busiest_rate(bins, timedelta(minutes=1), 120) == 10
    assert busiest_rate(bins, timedelta(minutes=4), 240) == 5
    assert busiest_rate(bins, timedelta(minutes=4), 200) is None
    assert busiest_rate(np.zeros(8640, dtype=np.int64), timedelta(minutes=1), 1e9) is None
