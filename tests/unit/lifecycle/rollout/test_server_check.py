"""When a challenger's servers are dead: failures in a row, probes, silence, sickness; and what is none of it."""

from datetime import timedelta

import numpy as np
import pytest

from include.lifecycle.rollout.judging.checks import bake_checks, stage_checks
from include.lifecycle.rollout.judging.server_check import check_servers, failures_that_show, server_checks
from include.lifecycle.rollout.judging.source_evidence import GatewayEvidence, PoolEvidence, ProbeEvidence
from include.lifecycle.rollout.sources.gateway import evidence, grown
from include.lifecycle.rollout.states import Measurement
from include.lifecycle.statistics.sketch import Sketch
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.rollout.test_harm import LIMITS
from tests.unit.lifecycle.rollout.test_machine import plan_of

PLAN = plan_of(limits=LIMITS | {"dead_after": "1s"})
WELL = PoolEvidence(hosts=1, healthy=1, ended=50)
TIMES = {"champion": Sketch().plus([5_000.0] * 100)}


def gateway(at=100.0, quiet=0.0, sick=None, waiting=0, healthy=1, answers=20, champion_healthy=1):
    champion = PoolEvidence(hosts=1, healthy=champion_healthy, ended=100 + answers, answered=100 + answers)
    challenger = PoolEvidence(hosts=1, healthy=healthy, waiting=waiting, ended=5)
    return GatewayEvidence(
        at=at, quiet_since=at - quiet, champion_then=100, sick_since=sick, challenger=challenger, champion=champion
    )


def seen(**values):
    return Measurement.model_validate({"requests": 20, "champion_requests": 180, "times": TIMES, "gateway": gateway()} | values)


def outcome(**values):
    return check_servers(PLAN, seen(**values)).outcome


def test_servers_that_answer_pass():
    assert outcome() is Outcome.PASS
    assert [one.check for one in bake_checks(PLAN, seen())] == ["error_rate", "performance", "servers"]


def test_unasked_is_no_verdict_and_silent_is_inconclusive():
    assert server_checks(PLAN, seen(gateway=None)) == []
    (verdict,) = server_checks(PLAN, seen(silent={"gateway": "gateway did not answer: refused"}))
    assert (verdict.outcome, verdict.reason) == (Outcome.INCONCLUSIVE, "gateway did not answer: refused")


@pytest.mark.parametrize(("in_a_row", "found"), [(2, Outcome.PASS), (3, Outcome.FAIL), (9, Outcome.FAIL)])
def test_failures_in_a_row(in_a_row, found):
    assert outcome(failed_in_a_row=in_a_row, errors=in_a_row) is found


def test_a_champion_that_fails_as_well_raises_what_it_takes():
    good, bad = seen(failed_in_a_row=3), seen(failed_in_a_row=3, champion_errors=60)
    assert failures_that_show(PLAN, good) == 3
    assert failures_that_show(PLAN, bad) > 8
    assert failures_that_show(PLAN, seen(requests=5_000)) > 3


def test_failures_in_a_row_keep_to_their_level():
    """Streams of an equally good challenger: a run that shows is rarer than alpha (here 3 % errors, 400 requests each)."""
    generator, found = np.random.default_rng(2), 0
    for _ in range(400):
        failed = generator.random(400) < 0.03
        champion = np.cumsum(generator.random(3600) < 0.03)
        run = 0
        for number, one in enumerate(failed, start=1):
            run = run + 1 if one else 0
            if run >= 3:
                at = 9 * number
                now = Measurement(
                    requests=number, failed_in_a_row=run, champion_requests=at, champion_errors=int(champion[at - 1])
                )
                found += run >= failures_that_show(PLAN, now)
    assert found <= 2


@pytest.mark.parametrize(
    ("probes", "errors", "found"),
    [((3, 3), 0, Outcome.FAIL), ((4, 3), 0, Outcome.PASS), ((2, 2), 0, Outcome.PASS), ((3, 3), 120, Outcome.PASS)],
)
def test_probes_that_nobody_answers(probes, errors, found):
    told = ProbeEvidence(at=1.0, asked=probes[0], failed=probes[1])
    assert outcome(probes=told, failed_in_a_row=1, errors=1, champion_errors=errors) is found
    assert outcome(probes=told, champion_errors=errors) is Outcome.PASS, "the newest request was answered"


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"quiet": 1.2, "waiting": 2}, Outcome.FAIL),
        ({"quiet": 1.2, "waiting": 1}, Outcome.PASS),
        ({"quiet": 0.9, "waiting": 9}, Outcome.PASS),
        ({"quiet": 1.2, "waiting": 9, "answers": 4}, Outcome.PASS),
    ],
)
def test_silence_while_requests_wait(how, found):
    assert outcome(gateway=gateway(**how)) is found


def test_what_takes_the_champion_long_too_is_no_silence():
    slow = {"champion": Sketch().plus([800_000.0] * 50)}
    assert outcome(gateway=gateway(quiet=1.5, waiting=3), times=slow) is Outcome.PASS
    assert outcome(gateway=gateway(quiet=2.6, waiting=3), times=slow) is Outcome.FAIL


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"sick": 98.9, "healthy": 0}, Outcome.FAIL),
        ({"sick": 99.5, "healthy": 0}, Outcome.PASS),
        ({"sick": 98.0, "healthy": 0, "champion_healthy": 0}, Outcome.PASS),
    ],
)
def test_no_healthy_server(how, found):
    assert outcome(gateway=gateway(**how)) is found


def test_a_stage_fails_by_its_servers_alone():
    verdicts = stage_checks(PLAN, PLAN.stage_at(0), seen(gateway=gateway(quiet=5, waiting=4)))
    assert [one.check for one in verdicts if one.failed] == ["servers"]


def counters(**values):
    names = ("total", "completed", "5xx", "never_sent", "given_up", "connect_failures", "ejections", "waiting")
    return dict.fromkeys(names, 0) | values


def test_counters_count_from_the_first_reading_and_through_resets():
    first = grown(None, counters(total=500, waiting=2, hosts=1, healthy=1), {5.0: 400})
    assert (first.ended, first.buckets, first.waiting) == (0, {5.0: 0}, 2)
    second = grown(first, counters(total=510, waiting=1, connect_failures=3), {5.0: 410})
    assert (second.ended, second.connect_failures, second.buckets) == (11, 3, {5.0: 10})
    reset = grown(second, counters(total=4, waiting=0, connect_failures=1), {5.0: 4})
    assert (reset.ended, reset.connect_failures, reset.buckets) == (16, 4, {5.0: 14})


def test_a_shadows_failures_are_what_was_not_answered_well():
    first = grown(None, counters(), {})
    after = grown(first, counters(total=20, completed=17, never_sent=1, **{"5xx": 4}), {})
    assert (after.ended, after.failed) == (21, 8)


def test_the_quiet_clock_runs_only_while_something_waits():
    pools = [(0, 0), (0, 2), (0, 3), (0, 3), (1, 2), (1, 0), (1, 0)]
    before, quiet = None, []
    for second, (answered, waiting) in enumerate(pools):
        before = evidence(before, PoolEvidence(hosts=1, healthy=1, answered=answered, waiting=waiting), WELL, float(second))
        quiet.append(before.at - before.quiet_since)
    assert quiet == [0, 0, 1, 2, 0, 1, 0]


def test_who_gives_up_is_no_answer():
    """Clients leave a server that hangs before the gateway would, and others come: it stays quiet."""
    before, pool = None, grown(None, counters(), {})
    for second, (total, waiting, given_up) in enumerate([(0, 0, 0), (4, 2, 2), (8, 2, 6), (12, 3, 9), (13, 0, 12)]):
        pool = grown(pool, counters(total=total, waiting=waiting, given_up=given_up), {})
        before = evidence(before, pool, PoolEvidence(hosts=1, healthy=1, answered=10 * second), float(second))
    assert (pool.ended, pool.answered) == (13, 1)
    assert before.quiet_since == 4.0, "the last one was answered"
    assert evidence(before, pool, WELL, 5.0).quiet_since == 5.0, "nothing waits"


def test_a_server_that_clients_give_up_on_is_silent():
    pool, before, answered = grown(None, counters(), {}), None, []
    for second in range(4):
        pool = grown(pool, counters(total=4 * second + 2, waiting=2, given_up=4 * second), {})
        champion = PoolEvidence(hosts=1, healthy=1, answered=20 * second)
        before = evidence(before, pool, champion, float(second))
        answered.append(outcome(gateway=before))
    assert answered == [Outcome.PASS, Outcome.FAIL, Outcome.FAIL, Outcome.FAIL]


def test_a_counter_that_was_not_read_before_counts_from_now():
    pool = grown(PoolEvidence(ended=5, answered=5, last={"total": 5}), counters(total=6, given_up=900), {})
    assert (pool.ended, pool.answered) == (6, 6)


def test_sickness_counts_from_its_first_look():
    sick = PoolEvidence(hosts=2, healthy=0)
    first = evidence(None, WELL, WELL, 1.0)
    second = evidence(first, sick, WELL, 2.0)
    assert (first.sick_since, second.sick_since, evidence(second, sick, WELL, 3.0).sick_since) == (None, 2.0, 2.0)
    assert evidence(second, WELL, WELL, 3.0).sick_since is None
    assert PLAN.limits.dead_after == timedelta(seconds=1)
