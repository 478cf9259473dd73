"""Refused requests and bursts, from access logs of simulated days: attacks are caught, honest days and nights raise no alarm."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from include.lifecycle.monitoring.outcomes.outside import silent_window
from include.lifecycle.monitoring.security.access import AccessReader, remove_old
from include.lifecycle.monitoring.security.rates import BURST, DENIED, check_rates, hour_bars
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.statistics.null import false_alarm_level
from include.serving.access_log import ACCESS
from tests.unit.lifecycle.monitoring.examples import as_predictions, make_spec, make_table

NOW = datetime(2026, 3, 9, tzinfo=UTC)
DAYS = 8
HOUR = timedelta(hours=1)


def honest(seed: int, *, rate: float = 40.0, days: int = DAYS) -> np.ndarray:
    """Requests per minute: day and night, a slow random walk of the level, bursts of a batch now and then."""
    random = np.random.default_rng(seed)
    minutes = np.arange(days * 1440)
    daily = 1 + 0.8 * np.sin(2 * np.pi * minutes / 1440)
    slow = np.zeros(days * 24)
    for hour in range(1, slow.size):
        slow[hour] = 0.8 * slow[hour - 1] + random.normal(0, 0.15)
    return random.poisson(rate * daily * np.exp(np.repeat(slow, 60)))


def write(folder: Path, counts: dict[tuple[str, int], np.ndarray], days: int = DAYS) -> None:
    (folder / ACCESS).mkdir(parents=True)
    start = NOW - timedelta(days=days)
    for day in range(days):
        lines = [
            json.dumps(
                {"at": (start + timedelta(minutes=m)).isoformat(), "version": 1, "client": c, "status": s, "requests": int(n[m])}
            )
            for (c, s), n in counts.items()
            for m in range(day * 1440, (day + 1) * 1440)
            if n[m]
        ]
        (folder / ACCESS / f"1-77-{start + timedelta(days=day):%Y%m%d}.jsonl").write_text("\n".join(lines) + "\n")


def look(folder: Path, *, hours: int = 1, end: datetime = NOW, **security):
    spec = make_spec(monitoring={"security": security}) if security else make_spec()
    frame, p = make_table(1, start=end - hours * HOUR, per_day=10, seed=1)
    window = replace(as_predictions(frame, p, days=1), window=Window(end - hours * HOUR, end))
    logged = np.array([(end - hours * HOUR).timestamp() * 1e6 + 1, end.timestamp() * 1e6 - 1], dtype=np.int64)
    found = check_rates(spec, replace(window, logged=logged), AccessReader(folder))
    return {verdict.check: verdict for verdict in found}


@pytest.fixture
def quiet(tmp_path: Path):
    counts = {("web", 200): honest(1), ("batch", 200): honest(2, rate=5), ("", 401): honest(3, rate=0.2)}

    def make(**changes: np.ndarray) -> Path:
        for name, extra in changes.items():
            key = ("", 401) if name == "unknown" else ("web", 403) if name == "forbidden" else (name, 200)
            counts[key] = counts.get(key, np.zeros(DAYS * 1440, dtype=np.int64)) + extra
        write(tmp_path, counts)
        return tmp_path

    return make


def last(minutes: int, each: int) -> np.ndarray:
    return np.where(np.arange(DAYS * 1440) >= DAYS * 1440 - minutes, each, 0)


def test_a_quiet_hour_passes(quiet):
    found = look(quiet())
    assert {name: verdict.outcome for name, verdict in found.items()} == {DENIED: "pass", BURST: "pass"}
    assert found[DENIED].evidence["hours_before"] == 168


@pytest.mark.parametrize(("who", "client"), [("unknown", "(no known key)"), ("forbidden", "web")])
def test_keys_that_are_tried_are_told_and_freeze_nothing(quiet, who, client):
    verdict = look(quiet(**{who: last(30, 20)}))[DENIED]
    assert (verdict.outcome, verdict.evidence["severity"]) == ("fail", "warn")
    assert verdict.evidence["effect"] >= 600 > verdict.evidence["threshold"] >= 60
    assert verdict.evidence["by_client"][client] >= 600
    assert verdict.check.partition(":")[0] == "access"  # strangers must not be able to stop a model's training


def test_a_burst_of_one_client_is_told_with_its_name(quiet):
    verdict = look(quiet(batch=last(1, 2000)))[BURST]
    assert (verdict.outcome, verdict.evidence["client"], verdict.evidence["rule"]) == ("fail", "batch", BURST)
    assert verdict.evidence["effect"] >= 2000
    assert look_again(quiet, 2500).passed


def look_again(quiet, floor: int):
    """The same with a floor above the burst."""
    from tempfile import mkdtemp

    folder = Path(mkdtemp())
    write(folder, {("batch", 200): honest(2, rate=5) + last(1, 2000)})
    return look(folder, burst_per_minute=floor)[BURST]


def test_a_trusted_client_may_burst(quiet):
    assert look(quiet(batch=last(1, 2000)), trusted_clients=["batch"])[BURST].passed


def test_a_new_client_is_held_to_the_busiest_known_one(quiet):
    verdict = look(quiet(fresh=last(1, 5000)))[BURST]
    assert (verdict.failed, verdict.evidence["client"]) == (True, "fresh")


def test_without_history_bursts_are_inconclusive_and_refusals_have_their_floor(tmp_path):
    day = np.zeros(DAYS * 1440, dtype=np.int64)
    write(tmp_path, {("web", 200): day + last(120, 50), ("", 401): day + last(20, 10)})
    found = look(tmp_path)
    assert (found[BURST].outcome, found[BURST].evidence["too_new"]) == ("inconclusive", ["web"])
    assert (found[DENIED].outcome, found[DENIED].evidence["threshold"]) == ("fail", 60.0)
    assert look(tmp_path, denied_per_hour=300)[DENIED].passed


def test_replayed_events_are_judged_by_when_they_were_asked(tmp_path):
    write(tmp_path, {("", 401): last(10, 100)})
    spec, (frame, p) = make_spec(), make_table(1, per_day=10, seed=1)
    logged = np.array([(NOW - HOUR).timestamp() * 1e6, NOW.timestamp() * 1e6 - 1], dtype=np.int64)
    (verdict,) = check_rates(spec, replace(as_predictions(frame, p, days=1), logged=logged), AccessReader(tmp_path))
    assert verdict.failed


def test_a_night_in_which_all_was_refused_is_seen(tmp_path):
    write(tmp_path, {("", 401): last(60, 10)})
    silent = silent_window(1, Window(NOW - HOUR, NOW))
    (verdict,) = check_rates(make_spec(), silent, AccessReader(tmp_path))
    assert (verdict.failed, verdict.evidence["refused"]) == (True, 600)


def test_no_access_log_no_verdict_and_torn_lines_are_left_out(quiet, tmp_path, caplog):
    assert look(tmp_path / "none") == {}
    folder = quiet()
    path = sorted((folder / ACCESS).glob("*"))[-1]
    path.write_text(path.read_text() + '{"at": "2026-03-08T23:5')
    assert look(folder)[DENIED].passed
    assert "1 lines cannot be read" in caplog.text


def test_old_days_go(quiet):
    folder = quiet()
    assert remove_old(folder, NOW - timedelta(days=3)) == 5
    assert len(list((folder / ACCESS).glob("*"))) == 3
    assert remove_old(folder / "none", NOW) == 0


@pytest.mark.parametrize(("rate", "fold"), [(40.0, "max"), (0.5, "sum"), (0.02, "sum")])
def test_honest_hours_raise_less_than_the_budget(rate, fold):
    """Every fourth hour of a quarter with day, night and a wandering level; floors so low that only the bars decide."""
    level = false_alarm_level(0.5, HOUR, 3)
    hours = getattr(honest(1, rate=rate, days=98).reshape(-1, 60), fold)(axis=1)
    looks = range(168, hours.size, 4)
    assert sum(hours[at] > hour_bars(hours[at - 168 : at], 1, level, 1.0)[0] for at in looks) == 0


@pytest.mark.parametrize("attacked", [range(167, 168), range(140, 168, 5), range(144, 168)])
@pytest.mark.parametrize(("rate", "fold", "attack"), [(40.0, "max", 5000), (0.5, "sum", 2000), (0.0, "sum", 400)])
def test_an_attack_does_not_hide_the_one_after_it(attacked, rate, fold, attack):
    """Another look while it goes on: after one hour, some hours, a whole day of it. Its bar stays near honest hours'."""
    hours = getattr(honest(5, rate=rate, days=7).reshape(-1, 60), fold)(axis=1)
    level, before = false_alarm_level(0.5, HOUR, 3), hours.copy()
    before[list(attacked)] += attack
    bar, plain = hour_bars(before, 1, level, 60.0)[0], hour_bars(hours, 1, level, 60.0)[0]
    assert plain / 4 < bar < min(2 * plain, attack)


def test_a_bar_has_an_end_however_wild_the_hours_were():
    wild = np.array([0, 10**9] * 12)
    assert hour_bars(wild, 1, 1e-6, 60.0)[0] <= 101 * (1 + 10**9)
