"""When the watchdog acts: leases of stages, not of bakes; broken limits that last; and what its files keep from happening."""

import json
import os
import time

import pytest

from include.lifecycle.errors import GateFailedError, GatewayRejectedError, SourceUnavailableError
from include.lifecycle.rollout.driver import abort_rollout, drive_once
from include.lifecycle.rollout.gateway.arms import Split
from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.gateway.envoy_config import Timeouts, render_routes
from include.lifecycle.rollout.gateway.traffic import Baseline, DesiredTraffic, Mirror, Server
from include.lifecycle.rollout.states import State
from include.lifecycle.rollout.watchdog.health import GAUGES, Health, served_models, write_gauges
from include.lifecycle.rollout.watchdog.journal import (
    JOURNAL,
    CanaryLease,
    Returned,
    clear,
    hold_back,
    leases,
    note,
    refuse_returned,
    renew,
    returned,
    settle,
    watchdog_act,
    without_returned,
)
from include.lifecycle.rollout.watchdog.judge import Watch, in_a_stage, why_lapsed
from include.lifecycle.rollout.watchdog.process import Watchdog
from include.lifecycle.rollout.watchdog.returning import champion_only
from include.lifecycle.rollout.watchdog.to_ledger import import_journal, silence
from tests.unit.lifecycle.rollout.test_machine import plan_of

ACT = Returned(model="churn", rollout_id=1, version=8, champion=7, reason="nobody drives", at=1.0)
SERVERS = {version: Server(ports=(18300 + version,), digest="0" * 64, folder="/served") for version in (7, 8)}


def lease(until=1000.0, state=State.RUNNING, **changes):
    return CanaryLease(rollout_id=1, epoch=1, until=until, state=state, plan=plan_of(**changes))


def row(**changes):
    values = {"model": "churn", "champion": 7, "weights": {7: 50, 8: 50}, "servers": SERVERS, "revision": 3}
    return DesiredTraffic.model_validate(values | changes)


def test_a_stages_weight_lapses_and_a_bakes_does_not():
    assert why_lapsed(lease(), 25, 999.9) == ""
    assert "nobody drives rollout 1, 1 s after its lease of 1m ended, and version 8 had 25 %" in why_lapsed(lease(), 25, 1001)
    assert why_lapsed(lease(state=State.BAKING), 100, 5000) == ""
    assert why_lapsed(lease(), 0, 5000) == ""


def test_a_lease_runs_a_whole_term_from_the_gateways_start():
    assert why_lapsed(lease(), 25, 1030, gateway_started=1000) == ""
    assert why_lapsed(lease(), 25, 1061, gateway_started=1000)


def test_all_traffic_is_a_stages_only_where_the_plan_says_so():
    stages = [{"percent": 100, "at_least": "1m", "requests": 1}]
    assert in_a_stage(plan_of(steps=stages), 100)
    assert not in_a_stage(plan_of(), 100)
    assert in_a_stage(plan_of(), 99)


def test_a_broken_limit_must_stand_for_its_grace(rt, gateway_log):
    watch, log, ports = Watch(), rt.settings.gateway_log, {7: (18307,), 8: (18308,)}
    log.touch()
    watch.follow(lease(), 25, log, ports)
    gateway_log(8, 200, failed=150)
    watch.follow(lease(), 25, log, ports)
    assert watch.why_broken(lease(), 100.0, 3.0) == ""
    assert watch.why_broken(lease(), 102.9, 3.0) == ""
    assert "error_rate fail: 150 of 200 requests" in watch.why_broken(lease(), 103.0, 3.0)
    watch.follow(lease(), 50, log, ports)  # other weights: nothing of before counts
    assert watch.why_broken(lease(), 200.0, 0.0) == ""


def test_a_lease_is_written_again_only_when_it_must(rt):
    settings, plan = rt.settings, plan_of(lease="60s")
    now = time.time()
    renew(settings, plan, 1, 1, until=now + 60, state=State.RUNNING)
    file = settings.gateway_dir / "leases" / "churn.json"
    os.utime(file, (1, 1))
    renew(settings, plan, 1, 1, until=now + 61, state="running")
    assert file.stat().st_mtime == 1
    renew(settings, plan, 1, 1, until=now + 67, state=State.RUNNING)
    assert (file.stat().st_mtime > 1, leases(settings.gateway_dir)[0].until) == (True, now + 67)
    os.utime(file, (1, 1))
    renew(settings, plan, 1, 2, until=now + 67, state=State.BAKING)
    assert leases(settings.gateway_dir)[0].state is State.BAKING
    clear(settings, "churn")
    clear(settings, "churn")
    assert leases(settings.gateway_dir) == []


def test_a_file_that_is_no_lease_is_left_out(rt):
    folder = rt.settings.gateway_dir / "leases"
    folder.mkdir(parents=True)
    (folder / "churn.json").write_text("{")
    assert leases(rt.settings.gateway_dir) == []


def test_what_was_returned_is_seen_by_its_rollout_only(rt):
    hold_back(rt.settings.gateway_dir, ACT)
    assert watchdog_act(rt.settings, "churn", 1) == "the watchdog returned the traffic: nobody drives"
    assert watchdog_act(rt.settings, "churn", 2) == watchdog_act(rt.settings, "fares", 1) == ""


def test_rows_are_rendered_without_what_was_returned_until_they_agree(rt):
    directory = rt.settings.gateway_dir
    beside = {"baseline": Baseline(percent=10, server=SERVERS[7]), "mirror": Mirror(version=8, percent=50), "sticky": "x-user"}
    hold_back(directory, ACT)
    (seen,) = without_returned(directory, [row(**beside)])
    assert (seen.weights, seen.baseline, seen.mirror, seen.sticky) == ({7: 100, 8: 0}, None, None, None)
    with pytest.raises(GateFailedError, match="the watchdog took the traffic from version 8: nobody drives"):
        refuse_returned(directory, row())
    with pytest.raises(GatewayRejectedError, match="which the row lost"):
        without_returned(directory, [row(weights={8: 100}, servers={8: SERVERS[8]}, champion=8)])
    settle(directory, [row()])
    assert returned(directory, "churn") == ACT
    refuse_returned(directory, row(weights={7: 100}))
    settle(directory, [row(weights={7: 100})])
    assert returned(directory, "churn") is None
    assert without_returned(directory, [row()]) == [row()]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"baseline": Baseline(percent=10, server=SERVERS[7])},
        {"mirror": Mirror(version=8, percent=50), "weights": {7: 100, 8: 0}},
        {"sticky": "x-user"},
        {"weights": {7: 0, 8: 100}},
    ],
)
def test_routes_of_every_kind_give_the_champion_all(changes, monkeypatch):
    from datetime import timedelta

    timeouts = Timeouts(timedelta(seconds=10), timedelta(seconds=3))
    other = row(model="fares", weights={7: 100})
    before = {"version_info": "6", "resources": render_routes([row(**changes), other], timeouts)}
    after = champion_only(before, ACT, "6-returned-1")
    config = after["resources"][0]
    monkeypatch.setattr(EnvoyAdmin, "_route_config", lambda self: {"route_config": config})
    splits = EnvoyAdmin("http://nowhere").splits()
    assert splits["churn"].weights == {7: 100, 8: 0}
    assert (splits["churn"].mirror, splits["fares"]) == (None, Split({7: 100, 8: 0} if 8 in other.weights else {7: 100}))
    assert config["metadata"]["filter_metadata"]["modelops"]["version"] == after["version_info"] == "6-returned-1"
    assert before["version_info"] == "6"


def test_routes_without_the_champion_are_not_half_changed():
    from datetime import timedelta

    timeouts = Timeouts(timedelta(seconds=10), timedelta(seconds=3))
    alone = row(champion=None, weights={8: 100})
    with pytest.raises(GatewayRejectedError, match="no arm of champion 7"):
        champion_only({"version_info": "1", "resources": render_routes([alone], timeouts)}, ACT, "2")


def test_outages_are_told_once_and_so_is_their_end(rt):
    health, models = Health(), {"churn": {"churn-7", "churn-8"}, "fares": {"fares-1"}}
    health.look(models, {"churn-8", "fares-1"}, 100.0)
    assert health.news(100.0, 15.0) == ([], [])
    health.look(models, {"fares-1"}, 110.0)
    health.look(models, {"fares-1"}, 124.9)
    assert health.news(124.9, 15.0) == ([], [])
    assert health.news(125.0, 15.0) == ([("churn", 15.0)], [])
    assert health.news(126.0, 15.0) == ([], [])
    write_gauges(rt.settings.gateway_dir, health, models, {"churn": 12.5}, ["churn"], 126.0)
    text = (rt.settings.gateway_dir / GAUGES).read_text()
    assert 'modelops_model_down{model="churn"} 1\nmodelops_model_down{model="fares"} 0\n' in text
    assert 'modelops_canary_lease_seconds{model="churn"} 12.5' in text
    health.look(models, {"fares-1", "churn-7"}, 130.0)
    assert health.news(130.0, 15.0) == ([], ["churn"])
    health.look(models, None, 131.0)
    assert health.news(150.0, 15.0)[0] == [("churn", 19.0), ("fares", 19.0)]


def test_an_outage_that_a_former_process_told_of_ends(rt):
    write_gauges(rt.settings.gateway_dir, Health({"churn": 1.0}, {"churn"}), ["churn", "fares"], {}, [], 126.0)
    health = Watchdog(rt.settings).health
    health.look({"churn": {"churn-7"}, "fares": {"fares-1"}}, {"churn-7", "fares-1"}, 130.0)
    assert health.news(130.0, 15.0) == ([], ["churn"])


def test_a_gateway_without_routes_serves_no_model(rt):
    assert served_models(rt.settings.gateway_dir) == {}


def test_a_watchdog_that_looks_no_more_is_told_once(rt):
    assert list(silence(rt)) == []  # there is none here
    gauges = rt.settings.gateway_dir / GAUGES
    write_gauges(rt.settings.gateway_dir, Health(), [], {}, [], time.time())
    assert list(silence(rt)) == []
    os.utime(gauges, (1000, time.time() - 90))
    for _ in range(2):
        (said,) = silence(rt)
        assert "has not looked for 90 s" in said
    assert len(rt.ledger.read("watchdog", kind="alert")) == 1


def test_the_journal_is_imported_once_and_a_torn_line_is_told(rt):
    directory = rt.settings.gateway_dir
    note(directory, "returned", "churn", "nobody drives", version=8, champion=7, seconds=0.1)
    note(directory, "model_down", "churn", "no server", severity="P0")
    with (directory / JOURNAL).open("ab") as handle:
        handle.write(b'{"act": "ret\n')
    said = list(import_journal(rt))
    assert said[:2] == ["churn: returned, nobody drives", "churn: model_down, no server"]
    assert "is torn" in said[2]
    assert list(import_journal(rt)) == []
    (directory / "watchdog.read.json").unlink()  # killed before it remembered: the same lines again change nothing
    assert len(list(import_journal(rt))) == 3
    rows = rt.ledger.read("churn")
    assert [(one["kind"], one["act"], one["version_before"]) for one in rows] == [
        ("alert", "raise alert", None),
        ("alert", "model_down", None),
        ("rollout", "returned", 8),
    ]
    note(directory, "model_up", "churn", "healthy", severity="P0")
    assert list(import_journal(rt)) == ["churn: model_up, healthy"]
    assert json.loads((directory / "watchdog.read.json").read_text())["offset"] > 0


def test_a_driver_that_waits_for_the_gateway_keeps_its_lease(rt, world, open_rollout):
    rollout = open_rollout(lease="60s")
    world.fail["stored"] = SourceUnavailableError("the gateway is down")
    for _ in range(2):
        with pytest.raises(SourceUnavailableError):
            drive_once(rt, rollout, "driver", hands=world.hands())
        (held,) = leases(rt.settings.gateway_dir)  # told before any traffic: a driver that dies now is watched
        assert (held.rollout_id, held.state) == (rollout, State.RUNNING)
        clear(rt.settings, "churn")
    world.fail.clear()
    drive_once(rt, rollout, "driver", hands=world.hands())
    assert leases(rt.settings.gateway_dir)[0].until > time.time() + 50
    abort_rollout(rt, rollout, "person", "enough", hands=world.hands())
    assert leases(rt.settings.gateway_dir) == []
