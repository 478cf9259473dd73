"""The access log becomes counts by assigned arm: each request once, nothing from before the step, across rotation."""

import json

from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.rollout.gateway.access_log import Position, end_of, parse, read_lines
from include.lifecycle.rollout.judging.checks import bake_checks, check_error_rate, latency_limit_us, stage_checks
from include.lifecycle.rollout.judging.measurements import WINDOW, measure, start_of_step
from include.lifecycle.rollout.states import Measurement, State, Status
from tests.unit.lifecycle.rollout.test_machine import plan_of

PORTS = {7: (18307,), 8: (18308,)}


def line(assigned=8, *, model="churn", code=200, attempts=1, port=None, us=4000, ts=100.0):
    host = f"127.0.0.1:{port or PORTS[assigned][0]}"
    row = {"ts": f"{ts:.6f}", "id": "x", "model": model, "assigned": str(assigned), "host": host, "code": code, "us": us}
    return json.dumps(row | {"flags": "-", "attempts": attempts, "path": "/", "cluster": "c"}) + "\n"


def look(log, status):
    seen, cursor = measure(plan_of(), status, log, PORTS)
    return status.model_copy(update={"measurement": seen, "cursor": cursor})


def started(log, since=0.0):
    return Status(state=State.RUNNING, weights={8: 10, 7: 90}, cursor=start_of_step(log, since))


def test_counts_by_assigned_arm(tmp_path):
    log = tmp_path / "access.jsonl"
    status = started(log)
    log.write_text(line(8) + line(7) * 3 + line(8, model="other") + "no json\n" + '{"model":"churn"}\n' + line(8, code=503))
    seen = look(log, status).measurement
    assert (seen.requests, seen.errors, seen.champion_requests) == (2, 1, 3)


def test_an_answer_by_the_champion_is_the_canarys_error():
    assert parse(line(8, port=PORTS[7][0]).encode(), "churn", PORTS).failed
    assert parse(line(8, attempts=2).encode(), "churn", PORTS).failed
    assert parse(line(8, code=500).encode(), "churn", PORTS).failed
    assert not parse(line(8, code=400).encode(), "churn", PORTS).failed


def test_unavailable_host_is_an_error_without_crashing():
    raw = json.dumps({"ts": "1.5", "model": "churn", "assigned": "8", "host": None, "code": 503, "us": None, "attempts": None})
    assert parse(raw.encode(), "churn", PORTS).failed


def left(assigned=8, ms=800, *, code=0, ts=100.0):
    """A line as Envoy writes it of a client that left before the answer."""
    host = f"127.0.0.1:{PORTS[assigned][0]}"
    row = {"ts": f"{ts:.6f}", "model": "churn", "assigned": str(assigned), "host": host, "code": code, "flags": "DC"}
    return json.dumps(row | {"us": None, "ms": ms, "attempts": 1}) + "\n"


def test_a_missing_duration_is_not_zero():
    assert parse(left(ms=812).encode(), "churn", PORTS).duration_us == 812_000
    assert parse(left(ms=0).encode(), "churn", PORTS).duration_us == 0
    assert parse(left(ms=None).encode(), "churn", PORTS).duration_us is None
    assert parse(line(us=4321).encode(), "churn", PORTS).duration_us == 4321


def test_a_client_that_left_has_no_answer_even_if_one_began():
    assert not parse(left().encode(), "churn", PORTS).answered
    assert not parse(left(code=200).encode(), "churn", PORTS).answered
    assert parse(line(8).encode(), "churn", PORTS).answered
    assert parse(line(8, code=500).encode(), "churn", PORTS).answered


def test_requests_without_an_answer_are_failures_and_slow(tmp_path):
    log = tmp_path / "access.jsonl"
    status = started(log)
    log.write_text(line(7, us=5000) * 100 + left() * 60)
    seen = look(log, status).measurement
    assert (seen.requests, seen.errors, seen.failed_in_a_row, seen.timed, seen.slow, seen.left) == (60, 60, 60, 60, 60, 0)
    assert "challenger" not in seen.times
    failed = [one.check for one in stage_checks(plan_of(), plan_of().stage_at(0), seen) if one.failed]
    assert failed == ["error_rate", "latency", "servers"]


def test_who_leaves_before_an_answer_could_come_says_nothing_of_the_hard_limits(tmp_path):
    log = tmp_path / "access.jsonl"
    status = started(log)
    log.write_text(line(7, us=5000) * 100 + line(8, code=500) * 2 + left(ms=9) * 60)
    seen = look(log, status).measurement
    assert (seen.limit_us, seen.requests, seen.errors, seen.left, seen.timed) == (15_000, 62, 2, 60, 2)
    assert seen.failed_in_a_row == 2, "neither a failure nor an answer"
    hard = check_error_rate(plan_of(), Measurement(requests=62, errors=2, left=60))
    assert (hard.evidence["hits"], hard.evidence["total"], hard.passed) == (2, 2, False)


def test_in_the_bake_a_request_is_given_the_time_that_the_challengers_own_answers_took(tmp_path):
    log = tmp_path / "access.jsonl"
    status = started(log).model_copy(update={"state": State.BAKING})
    log.write_text(left(ms=9) + left(ms=11))
    status = look(log, status)
    assert (status.measurement.errors, status.measurement.left) == (1, 1), "the floor, 10 ms, as long as nothing else is known"
    with log.open("a") as handle:
        handle.write(line(8, us=100_000) * 60)
    status = look(log, status)
    with log.open("a") as handle:
        handle.write(left(ms=150) * 5 + left(ms=800) * 200)
    seen = look(log, status).measurement
    assert (seen.errors, seen.left) == (201, 6)
    assert [one.check for one in bake_checks(plan_of(), seen) if one.failed] == ["error_rate", "servers"]


def test_what_was_before_the_step_is_never_counted(tmp_path):
    log = tmp_path / "access.jsonl"
    log.write_text(line(8) * 5)
    status = started(log, since=50.0)
    with log.open("a") as handle:
        handle.write(line(8, ts=49.9) + line(8, ts=50.1))
    assert look(log, status).measurement.requests == 1


def test_torn_line_is_read_when_it_is_whole(tmp_path):
    log = tmp_path / "access.jsonl"
    status = started(log)
    text = line(8)
    log.write_text(text + text[:40])
    status = look(log, status)
    assert status.measurement.requests == 1
    log.write_text(text + text)
    assert look(log, status).measurement.requests == 2


def test_rotation_loses_nothing(tmp_path):
    log = tmp_path / "access.jsonl"
    log.write_text(line(8))
    status = look(log, started(log))
    with log.open("a") as handle:
        handle.write(line(8) * 2)
    log.rename(tmp_path / "access.jsonl.1")
    log.write_text(line(8) * 3)
    for _ in range(3):
        status = look(log, status)
    assert status.measurement.requests == 5


def test_truncation_starts_over(tmp_path):
    log = tmp_path / "access.jsonl"
    log.write_text(line(7) * 9)
    status = started(log)
    log.write_text(line(8))
    assert look(log, status).measurement.requests == 1


def test_a_log_that_appears_later_is_read_from_its_start(tmp_path):
    log = tmp_path / "access.jsonl"
    status = look(log, started(log))
    log.write_text(line(8))
    assert look(log, status).measurement.requests == 1


def test_slow_is_judged_beside_the_champion(tmp_path):
    log = tmp_path / "access.jsonl"
    status = started(log)
    log.write_text(line(7, us=5000) * 100 + line(8, us=14_000) * 3 + line(8, us=16_000) * 2)
    seen = look(log, status).measurement
    assert (seen.limit_us, seen.timed, seen.slow) == (15_000, 5, 2)
    assert latency_limit_us(plan_of(), 50_000) == 100_000


def test_without_champion_requests_nothing_is_said_about_latency(tmp_path):
    log = tmp_path / "access.jsonl"
    status = started(log)
    log.write_text(line(8, us=10**6) * 500)
    seen = look(log, status).measurement
    assert (seen.requests, seen.timed, seen.limit_us) == (500, 0, None)


def test_state_stays_small(tmp_path):
    log = tmp_path / "access.jsonl"
    status = started(log)
    log.write_text(line(7) * 2000)
    assert len(look(log, status).cursor.recent_champion_us) == WINDOW


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_each_line_once_whatever_the_pieces(tmp_path_factory, limits):
    log = tmp_path_factory.mktemp("log") / "access.jsonl"
    wanted = [f"line {number}".encode() for number in range(60)]
    log.write_bytes(b"\n".join(wanted) + b"\n")
    position, got = Position(end_of(log).inode, 0), []
    for limit in [*limits, 1000]:
        lines, position = read_lines(log, position, limit=limit)
        got += lines
    assert got == wanted[: len(got)]
    assert got == wanted


def test_measurement_is_plain_json():
    seen = Measurement(requests=3)
    assert Measurement.model_validate_json(seen.model_dump_json()) == seen
