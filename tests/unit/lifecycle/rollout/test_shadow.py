"""Pairs of a shadow: tailing real segments, pairing in any order, counting, ranks, the check and the page."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from include.lifecycle.rollout.evidence import Cursor, Measurement, PairEvidence
from include.lifecycle.rollout.judging import shadow as shadow_module
from include.lifecycle.rollout.judging.shadow import check_agreement, pairs_of
from include.lifecycle.rollout.shadowing import pairing as pairing_module
from include.lifecycle.rollout.shadowing import reader as reader_module
from include.lifecycle.rollout.shadowing.pairing import Pairing
from include.lifecycle.rollout.shadowing.summary import pair_evidence, rank_shift
from include.lifecycle.rollout.shadowing.tail import read_news
from include.lifecycle.rollout.states import State, Status
from include.lifecycle.sections.training import ObjectiveSection
from include.lifecycle.statistics.sequential import proportion_bounds
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.rollout.experiment_lab import start
from tests.unit.lifecycle.rollout.test_machine import plan_of

BINARY = {"task": "binary_classification", "classes": [], "metric": "roc_auc", "floor": "none", "threshold": 0.5}
SHADOW = {"mirror": 100, "at_least": "1h", "pairs": 100, "minimum_agreement": 0.9, "tolerance": 0.0, "then": "canary"}
SINCE = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def objective(**changes):
    return ObjectiveSection.model_validate(BINARY | changes)


def shadow_plan(**rules):
    stage = {"kind": "mirror", "percent": 0, "mirror": 100, "at_least": "1h", "requests": 100, "must_pass": ["agreement"]}
    values = plan_of(strategy="shadow", shadow=SHADOW | rules, objective=BINARY).model_dump(mode="json")
    return plan_of().model_validate(values | {"stages": [stage]})


def line(number, arm, score, *, row=0, second=1.0, version=None, ms=1.0, **more):
    at = datetime.fromtimestamp(SINCE + second, UTC).isoformat(timespec="microseconds")
    told = {"request_id": f"r{number}", "row": row, "arm": arm, "model_version": version or (8 if arm == "shadow" else 7)}
    told |= {"assigned_version": 7, "logged_at": at, "prediction": score, "latency_ms": ms, "key": f"k{number}"}
    return told | {"features": {"distance": float(number)}} | more


def pairing(**changes):
    return Pairing(objective(**changes.pop("objective", {})), changes.pop("tolerance", 0.0), champion=7, shadow=8, **changes)


def test_both_answers_of_a_request_make_a_pair_in_any_order():
    rows = [line(1, "live", 0.9), line(1, "shadow", 0.8), line(2, "shadow", 0.6), line(2, "live", 0.4), line(3, "live", 0.1)]
    for order in (rows, rows[::-1]):
        found = pairing()
        found.add(order[:2], SINCE)
        found.add(order[2:], SINCE)
        assert (found.counted.requests, found.counted.agreed, found.counted.rows) == (2, 1.0, 2)
        assert found.counted.mean_absolute == pytest.approx(0.15)
        assert found.counted.worst[0] | {"difference": 0} == {
            "request_id": "r2", "row": 0, "key": "k2", "features": {"distance": 2.0},
            "live": 0.4, "shadow": 0.6, "same": False, "difference": 0,
        }  # fmt: skip


def test_what_is_no_pair_of_this_stage_is_left_out():
    found = pairing()
    rows = [line(1, "shadow", 0.8), line(1, "live", 0.8, second=-1), line(2, "live", 0.8), line(2, "shadow", 0.8, version=6)]
    rows += [line(3, "shadow", 0.8), line(3, "live", 0.8, version=8), line(4, "baseline", 0.8), line(4, "shadow", 0.8)]
    rows += [line(5, "live", 0.8, assigned_version=None), line(5, "shadow", 0.8), line(6, "live", 0.8), line(6, "live", 0.8)]
    found.add(rows, SINCE)
    assert found.counted.rows == 0
    found.add([line(9, "live", 0.8, second=100)], SINCE)
    assert found.counted.alone == 4  # their live answers would have come by now


def test_rows_of_one_request_are_one_pair_by_their_share():
    found = pairing()
    scores = [(0.9, 0.9), (0.9, 0.1), (0.1, 0.1), (0.1, 0.1)]
    found.add(
        [line(1, arm, pair[at], row=row) for row, pair in enumerate(scores) for at, arm in enumerate(("live", "shadow"))], SINCE
    )
    assert (found.counted.requests, found.counted.agreed, found.counted.rows) == (1, 0.75, 4)


def test_classes_and_numbers_have_their_own_sameness():
    classes = pairing(objective={"task": "multiclass_classification", "classes": ["a", "b"], "metric": "accuracy"})
    one = {"label": "a", "probabilities": [0.6, 0.4]}
    classes.add([line(1, "live", 0.0, **one), line(1, "shadow", 1.0, label="b", probabilities=[0.3, 0.7])], SINCE)
    assert (classes.counted.agreed, classes.counted.worst[0]["live"]) == (0.0, "a")
    assert classes.counted.mean == pytest.approx(0.3)
    numbers = pairing(objective={"task": "regression", "metric": "mae"}, tolerance=2.0)
    numbers.add(
        [
            line(n, arm, value)
            for n, pair in enumerate(((10, 12), (10, 12.1)))
            for arm, value in zip(("live", "shadow"), pair, strict=True)
        ],
        SINCE,
    )
    assert (numbers.counted.requests, numbers.counted.agreed) == (2, 1.0)


def test_only_so_many_halves_wait(monkeypatch):
    monkeypatch.setattr(pairing_module, "MOST_WAITING", 10)
    found = pairing()
    found.add([line(n, "live", 0.5) for n in range(50)], SINCE)
    found.add([line(n, "shadow", 0.5) for n in range(50)], SINCE)
    assert found.counted.rows == 10


def test_the_sample_is_the_same_whoever_reads_in_whatever_order(monkeypatch):
    monkeypatch.setattr(pairing_module, "SAMPLE", 20)
    rng, samples = np.random.default_rng(1), []
    for _ in range(2):
        found = pairing()
        for n in rng.permutation(200):
            found.add([line(int(n), "live", n / 200), line(int(n), "shadow", n / 300)], SINCE)
        samples.append(sorted(found.counted.sample))
    assert samples[0] == samples[1]
    assert len(samples[0]) == 20


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=60))
def test_rank_correlation_is_scipys(pairs):
    one, other = (np.array([pair[at] for pair in pairs], dtype=float) for at in (0, 1))
    found = rank_shift(one, other)
    if one.std() and other.std():
        assert found["spearman"] == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-5)
    shift = np.abs(stats.rankdata(one) - stats.rankdata(other)).mean() / len(one)
    assert found["mean_shift"] == pytest.approx(shift, abs=1e-5)


def test_agreement_is_three_valued():
    def verdict(pairs, agreed, **rules):
        return check_agreement(shadow_plan(**rules), Measurement(pairs=PairEvidence(pairs=pairs, agreed=agreed)))

    assert check_agreement(shadow_plan(), Measurement()).outcome is Outcome.INCONCLUSIVE
    assert verdict(1000, 990.0).passed
    assert verdict(1000, 905.0).outcome is Outcome.INCONCLUSIVE
    assert verdict(1000, 700.0).failed
    assert verdict(20, 2.0).failed  # so bad that few pairs tell
    few = verdict(90, 90.0, minimum_agreement=0.5)
    assert (few.outcome, "90 of 100 pairs" in few.reason) == (Outcome.INCONCLUSIVE, True)


def test_a_shadow_that_agrees_exactly_enough_hardly_ever_fails_however_often_one_looks():
    rng, plan, wrong = np.random.default_rng(5), shadow_plan(), 0
    looks = np.arange(20, 2001, 20)
    for _ in range(150):
        shares = rng.binomial(3, 0.9, 2000) / 3  # three rows a request
        agreed = np.cumsum(shares)[looks - 1]
        worst = proportion_bounds(agreed, looks, plan.alpha)[1].argmin()  # when this look does not fail, none does
        wrong += check_agreement(plan, Measurement(pairs=PairEvidence(pairs=int(looks[worst]), agreed=agreed[worst]))).failed
    assert wrong <= 3  # the plan's level is about 0.2 %


def write(folder, name, *rows, torn=b""):
    path = folder / "segments" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        handle.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows) + torn)
    return path


def test_each_line_is_read_once_across_renaming_and_torn_ends(tmp_path: Path):
    path = write(tmp_path, "7-1-1.jsonl.open", line(1, "live", 0.5), torn=b'{"request_id": "r2"')
    write(tmp_path, "9-1-1.jsonl.open", line(5, "live", 0.5))
    first = read_news(tmp_path, {7, 8}, SINCE, {})
    assert [row["request_id"] for row in first.rows] == ["r1"]
    with path.open("ab") as handle:
        handle.write(b', "row": 0}\n')
    path.rename(path.with_name("7-1-1.jsonl"))
    write(tmp_path, "8-1-2.jsonl", line(1, "shadow", 0.5))
    second = read_news(tmp_path, {7, 8}, SINCE, first.offsets)
    assert sorted(row["request_id"] for row in second.rows) == ["r1", "r2"]
    assert read_news(tmp_path, {7, 8}, SINCE, second.offsets).rows == []
    (tmp_path / "segments" / "7-1-1.jsonl").unlink()  # compacted
    assert list(read_news(tmp_path, {7, 8}, SINCE, second.offsets).offsets) == ["8-1-2.jsonl"]
    assert read_news(tmp_path, {7, 8}, datetime.now(UTC).timestamp() + 100, {}).rows == []


def test_a_long_log_is_read_in_pieces_and_both_versions_keep_step(tmp_path: Path):
    for version, arm in ((7, "live"), (8, "shadow")):
        write(tmp_path, f"{version}-1-1.jsonl", *[line(n, arm, 0.5) for n in range(100)])
    offsets, seen, calls, behind = {}, [], 0, True
    while behind:
        news = read_news(tmp_path, {7, 8}, SINCE, offsets, most=10_000)
        offsets, behind, calls = news.offsets, news.behind, calls + 1
        seen += news.rows
        arms = [row["arm"] for row in seen]
        assert abs(arms.count("live") - arms.count("shadow")) < 5
    assert (len(seen), calls > 3) == (200, True)


def test_another_process_goes_on_where_one_stopped_and_the_report_grows(rt, monkeypatch):
    monkeypatch.setattr(reader_module, "EVERY", 0.0)
    plan, log = shadow_plan(), rt.storage.predictions("churn")
    rollout_id = start(rt, plan, began=datetime.fromtimestamp(SINCE, UTC))
    status = Status(state=State.RUNNING, cursor=Cursor(since=SINCE))
    for part in range(3):
        numbers = range(part * 50, part * 50 + 50)
        write(log, "7-1-1.jsonl.open", *[line(n, "live", 0.9, ms=1.0) for n in numbers])
        write(log, "8-1-1.jsonl.open", *[line(n, "shadow", 0.2 if n % 25 == 0 else 0.8, ms=2.0) for n in numbers])
        shadow_module._readers.clear()  # as if another triggerer took over
        found = pairs_of(rt, rollout_id, plan, status)
        assert (found.pairs, found.agreed) == (50 * (part + 1), 48.0 * (part + 1))
    assert found.detail["latency_ms"]["shadow"]["p95"] == 2.0
    assert found.detail["difference_quantiles"]["0.5"] == pytest.approx(-0.1)
    assert pairs_of(rt, rollout_id, plan, status) == found
    page = Path(found.detail["report"]).read_text()
    for told in (
        "Shadow of churn: version 8 beside champion 7",
        "150 requests with 150 rows",
        "Worst rows",
        "r125",
        "distance",
        "<svg",
    ):
        assert told in page
    later = status.model_copy(update={"cursor": Cursor(since=SINCE + 1000)})
    assert pairs_of(rt, rollout_id, plan, later).pairs == 0  # another stage begins anew


def test_nothing_is_opened_between_two_readings(rt, tmp_path):
    plan = shadow_plan()
    rollout_id = start(rt, plan, began=datetime.fromtimestamp(SINCE, UTC))
    status = Status(state=State.RUNNING, cursor=Cursor(since=SINCE))
    assert pairs_of(rt, rollout_id, plan, status).pairs == 0
    write(rt.storage.predictions("churn"), "7-1-1.jsonl.open", line(1, "live", 0.9))
    write(rt.storage.predictions("churn"), "8-1-1.jsonl.open", line(1, "shadow", 0.9))
    assert pairs_of(rt, rollout_id, plan, status).pairs == 0  # five seconds have not passed


def test_a_page_of_nothing_is_still_a_page():
    from include.lifecycle.rollout.shadowing.page import shadow_page
    from include.lifecycle.rollout.shadowing.pairing import Counted

    found = pair_evidence(Counted(), ranked=True)
    page = shadow_page(shadow_plan(), found, Counted(), check_agreement(shadow_plan(), Measurement(pairs=found)))
    assert "Not to be told yet." in page
    assert "no pairs yet" in page


def test_what_clients_sent_is_text_on_the_page():
    from include.lifecycle.rollout.shadowing.page import shadow_page

    found, sent = pairing(), "<script>alert(1)</script>"
    odd = {"request_id": sent, "key": sent, "features": {sent: sent}}
    found.add([line(1, "live", 0.9) | odd, line(1, "shadow", 0.1) | odd], SINCE)
    evidence = pair_evidence(found.counted, ranked=True)
    page = shadow_page(shadow_plan(), evidence, found.counted, check_agreement(shadow_plan(), Measurement(pairs=evidence)))
    assert page.count("&lt;script&gt;") >= 3
    assert "<script" not in page
