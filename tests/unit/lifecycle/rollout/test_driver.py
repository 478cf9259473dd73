"""The driver on a real database: to promotion, back again, killed between every two effects, two drivers at once."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError, GatewayRejectedError, LeaseLostError, SourceUnavailableError
from include.lifecycle.rollout.driver import abort_rollout, close_rollout, drive_once
from include.lifecycle.rollout.lease import rollout_row
from include.lifecycle.rollout.ways_back.freezing import freeze, unfreeze
from include.lifecycle.tables import candidates
from tests.unit.lifecycle.rollout.conftest import Killed

QUICK = {
    "steps": [{"percent": 10, "at_least": "0s", "requests": 50}, {"percent": 50, "at_least": "0s", "requests": 50}],
    "bake": "0s",
}
PROMOTION = [("traffic", {8: 10, 7: 90}), ("traffic", {8: 50, 7: 50}), ("traffic", {8: 100, 7: 0}), ("promote", 8)]
PROMOTION += [("traffic", {8: 100}), ("stop", 7)]


def drive(rt, rollout_id, world, gateway_log, *, failed=0, looks=40):
    """Look until the rollout is closed, with traffic between looks; a kill is survived by the next look."""
    for _ in range(looks):
        try:
            outcome = drive_once(rt, rollout_id, "driver", hands=world.hands())
        except Killed:
            continue
        if outcome is not None:
            return outcome
        for version, weight in world.weights.items():
            gateway_log(version, 3 * weight, failed=3 * weight * failed if version == 8 else 0)
    raise AssertionError("the rollout did not end")


def ledger_of(rt, kind="rollout"):
    return [(row["act"], row["phase"]) for row in reversed(rt.ledger.read("churn", kind=kind))]


def test_canary_to_promotion(rt, world, open_rollout, row_of, gateway_log, desired):
    rollout_id = open_rollout(**QUICK)
    outcome = drive(rt, rollout_id, world, gateway_log)
    assert outcome.state == "promoted"
    assert world.log == PROMOTION
    assert (world.running.keys(), world.aliases["champion"]) == ({8}, 8)
    assert (desired().weights, desired().champion, desired().applied) == ({8: 100}, 8, True)
    row = row_of(rollout_id)
    assert (row["state"], row["lease_holder"], row["finished_at"]) == ("promoted", None, rt.clock.now())
    acts = ["shift_traffic", "shift_traffic", "promote", "confirm"]
    assert ledger_of(rt) == [(act, phase) for act in acts for phase in ("intended", "done")]
    assert [row["verdict"] for row in rt.ledger.read("churn", kind="rollout")] == ["pass"] * 6 + [None] * 2
    with transaction(rt.engine) as connection:
        assert connection.execute(candidates.select()).mappings().one()["state"] == "done"
    assert drive_once(rt, rollout_id, "anybody", hands=world.hands()) == outcome


def test_failing_canary_goes_back(rt, world, open_rollout, gateway_log):
    outcome = drive(rt, open_rollout(**QUICK), world, gateway_log, failed=1)
    assert outcome.state == "rolled_back"
    assert world.log == [("traffic", {8: 10, 7: 90}), ("traffic", {7: 100}), ("stop", 8)]
    assert "error_rate fail" in outcome.reason
    evidence = rt.ledger.read("churn", kind="rollout")[0]["evidence"]
    assert evidence["measurement"]["errors"] == 30


def test_failing_in_the_bake_takes_the_alias_back(rt, world, open_rollout, gateway_log):
    rollout_id = open_rollout(**QUICK | {"bake": "1h"})
    for _ in range(4):
        drive_once(rt, rollout_id, "driver", hands=world.hands())
        for version, weight in world.weights.items():
            gateway_log(version, 30 * weight)
    assert world.aliases["champion"] == 8
    gateway_log(8, 3000, failed=3000)
    outcome = drive(rt, rollout_id, world, gateway_log, failed=1)
    assert (outcome.state, world.aliases, world.weights) == ("rolled_back", {"champion": 7}, {7: 100})
    assert world.log[-3:] == [("traffic", {7: 100}), ("demote", 8), ("stop", 8)]


@pytest.mark.parametrize("failed", [0, 1])
def test_killed_between_every_two_effects(rt, world, open_rollout, gateway_log, row_of, failed):
    """Dying once before each effect in turn, all in one rollout, changes nothing about what happened and how often."""
    rollout_id = open_rollout(**QUICK)
    kills = 0
    for _ in range(200):
        world.boundaries, world.kill_at = 0, kills + 1
        try:
            outcome = drive_once(rt, rollout_id, "driver", hands=world.hands())
        except Killed:
            kills += 1
            continue
        kills = 0
        if outcome is not None:
            break
        for version, weight in world.weights.items():
            gateway_log(version, 3 * weight, failed=3 * weight * failed if version == 8 else 0)
    wanted = PROMOTION if not failed else [("traffic", {8: 10, 7: 90}), ("traffic", {7: 100}), ("stop", 8)]
    assert world.log == wanted
    assert row_of(rollout_id)["state"] == ("promoted" if not failed else "rolled_back")
    phases = ledger_of(rt)
    assert len(phases) == len([one for one in phases if one[1] == "intended"]) * 2


def test_another_driver_takes_over_after_the_lease(rt, world, open_rollout, row_of):
    rollout_id = open_rollout(**QUICK | {"lease": "1h"})
    drive_once(rt, rollout_id, "first", hands=world.hands())
    with pytest.raises(LeaseLostError, match="held by first"):
        drive_once(rt, rollout_id, "second", hands=world.hands())
    with transaction(rt.engine) as connection:
        connection.execute(text("UPDATE rollouts SET lease_until = now() - interval '1 second'"))
    drive_once(rt, rollout_id, "second", hands=world.hands())
    assert (row_of(rollout_id)["epoch"], row_of(rollout_id)["lease_holder"]) == (2, "second")
    with pytest.raises(LeaseLostError):
        drive_once(rt, rollout_id, "first", hands=world.hands())


def test_a_driver_that_lost_its_lease_while_acting_changes_nothing(rt, world, open_rollout, desired):
    rollout_id = open_rollout(**QUICK)

    def stolen(*arguments, **more):
        with transaction(rt.engine) as connection:
            connection.execute(text("UPDATE rollouts SET lease_holder = 'second', epoch = epoch + 1"))
        return (18308,)

    world.ensure_server = stolen
    with pytest.raises(LeaseLostError):
        drive_once(rt, rollout_id, "first", hands=world.hands())
    assert world.weights == desired().weights == {7: 100}
    assert "failed" not in [phase for _, phase in ledger_of(rt)], "whoever took over finishes the act, and says so"


def test_a_step_that_a_freeze_found_under_way_is_turned_back(rt, world, open_rollout, row_of):
    rollout_id = open_rollout(**QUICK)
    world.boundaries, world.kill_at = 0, 1
    with pytest.raises(Killed):
        drive_once(rt, rollout_id, "driver", hands=world.hands())
    world.kill_at = None
    assert row_of(rollout_id)["status"]["pending"]["act"] == "shift_traffic"
    freeze(rt, "churn", reason="wrong prices", by="ada")
    outcome = drive_once(rt, rollout_id, "driver", hands=world.hands())
    assert (outcome.state, world.weights) == ("aborted", {7: 100})
    assert ("traffic", {8: 10, 7: 90}) not in world.log


def test_an_end_of_the_bake_that_a_freeze_found_under_way_waits(rt, world, open_rollout, gateway_log, row_of):
    rollout_id = open_rollout(**QUICK)
    world.fail["stop_server"] = SourceUnavailableError("supervisord")
    with pytest.raises(SourceUnavailableError):
        drive(rt, rollout_id, world, gateway_log)
    world.fail.clear()
    assert row_of(rollout_id)["status"]["pending"]["act"] == "confirm"
    freeze(rt, "churn", reason="wrong prices", by="ada")
    assert drive_once(rt, rollout_id, "driver", hands=world.hands()) is None
    unfreeze(rt, "churn", reason="they are right", by="ada")
    assert drive_once(rt, rollout_id, "driver", hands=world.hands()).state == "promoted"


def test_nobody_takes_over_while_the_alias_moves(rt, world, open_rollout, gateway_log):
    """Else a rollback could be done, and the alias move to the version that was just rolled back."""
    rollout_id = open_rollout(**QUICK)
    real, tried = world.promote, []

    def promote(*arguments, **named):
        with pytest.raises(OperationalError, match="lock timeout"), rt.engine.begin() as other:
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            rollout_row(other, rollout_id, lock=True)
        tried.append(rollout_id)
        real(*arguments, **named)

    world.promote = promote
    assert drive(rt, rollout_id, world, gateway_log).state == "promoted"
    assert tried == [rollout_id]


def test_going_back_needs_no_files_of_a_champion_that_runs(rt, world, open_rollout, desired, gateway_log):
    rollout_id = open_rollout(**QUICK)
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    Path(desired().servers[7].folder).rmdir()

    def down(*_):
        raise SourceUnavailableError("MLflow is down")

    world.materialise = down
    outcome = drive(rt, rollout_id, world, gateway_log, failed=1)
    assert (outcome.state, world.weights) == ("rolled_back", {7: 100})


def test_gateway_down_waits_and_goes_on(rt, world, open_rollout, gateway_log):
    rollout_id = open_rollout(**QUICK)
    world.fail["apply"] = SourceUnavailableError("gateway is down")
    for _ in range(5):
        with pytest.raises(SourceUnavailableError):
            drive_once(rt, rollout_id, "driver", hands=world.hands())
    world.fail.clear()
    assert drive(rt, rollout_id, world, gateway_log).state == "promoted"
    assert world.log == PROMOTION


def test_gateway_that_keeps_refusing_ends_in_a_rollback(rt, world, open_rollout, gateway_log):
    rollout_id = open_rollout(**QUICK)
    world.fail["stored"] = GatewayRejectedError("cluster is not healthy")
    for _ in range(3):
        with pytest.raises(GatewayRejectedError):
            drive_once(rt, rollout_id, "driver", hands=world.hands())
    world.fail.clear()
    assert drive(rt, rollout_id, world, gateway_log).state == "rolled_back"
    assert (world.weights, world.running.keys()) == ({7: 100}, {7})


def test_a_server_that_does_not_start_ends_in_a_rollback(rt, world, open_rollout, gateway_log):
    rollout_id = open_rollout(**QUICK)
    world.fail["ensure_server"] = GateFailedError("state FATAL")
    assert drive_once(rt, rollout_id, "driver", hands=world.hands()) is None
    world.fail.clear()
    outcome = drive(rt, rollout_id, world, gateway_log)
    assert (outcome.state, world.weights) == ("rolled_back", {7: 100})
    assert "state FATAL" in outcome.reason


def test_first_version_goes_direct_and_needs_no_traffic(rt, world, open_rollout, gateway_log):
    world.aliases, world.weights = {}, {}
    with transaction(rt.engine) as connection:
        connection.execute(text("DELETE FROM desired_traffic"))
    rollout_id = open_rollout(champion=None, strategy="direct", bake="0s")
    outcomes = [drive_once(rt, rollout_id, "driver", hands=world.hands()) for _ in range(2)]
    assert outcomes[1].state == "promoted"
    assert world.log == [("traffic", {8: 100}), ("promote", 8)]


def test_abort_takes_over_and_gives_the_traffic_back(rt, world, open_rollout):
    rollout_id = open_rollout(**QUICK)
    drive_once(rt, rollout_id, "driver", hands=world.hands())
    outcome = abort_rollout(rt, rollout_id, "person", "enough", hands=world.hands())
    assert (outcome.state, world.weights, world.running.keys()) == ("aborted", {7: 100}, {7})
    assert drive_once(rt, rollout_id, "driver", hands=world.hands()).state == "aborted"


def test_refused_before_traffic_never_touches_the_gateway(rt, world, open_rollout):
    rollout_id = open_rollout()
    world.running[8] = 18308
    outcome = close_rollout(rt, rollout_id, "check", "golden requests differ", hands=world.hands())
    assert (outcome.state, outcome.reason) == ("refused", "golden requests differ")
    assert world.log == [("stop", 8)]
