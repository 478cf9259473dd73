"""The action rate from a real prediction log, users' metrics, and how both are judged; processes of the machine."""

import json
import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from include.lifecycle.loading import load_model
from include.lifecycle.monitoring.compaction import compact_predictions
from include.lifecycle.rollout.judging.checks import stage_checks
from include.lifecycle.rollout.judging.metric_checks import check_action_rate, check_metric
from include.lifecycle.rollout.judging.source_evidence import ActionEvidence, MetricEvidence, UsageEvidence
from include.lifecycle.rollout.sources.base import Look
from include.lifecycle.rollout.sources.prediction_log import PredictionLogSource
from include.lifecycle.rollout.sources.processes import _usage
from include.lifecycle.rollout.states import Cursor, Measurement, State, Status
from include.lifecycle.rollout.strategies import stages_of
from include.lifecycle.runtime import build_runtime
from include.lifecycle.sections.rollout import RolloutSection
from include.lifecycle.sections.rollout_metrics import MetricSection
from include.lifecycle.verdicts import Outcome
from include.settings import load_settings, settings
from tests.unit.lifecycle.rollout.test_harm import LIMITS
from tests.unit.lifecycle.rollout.test_machine import plan_of

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OBJECTIVE = {"task": "binary_classification", "classes": [], "metric": "roc_auc", "floor": 0.6, "threshold": 0.4}


def limited(change=0.1, **more):
    return plan_of(limits=LIMITS | {"action_rate_change": change}, objective=OBJECTIVE, **more)


class Log:
    """A model's prediction log that answers are written to."""

    def __init__(self, folder):
        self.folder, self.lines = folder, 0
        (folder / "segments").mkdir(parents=True)

    def answered(self, version, count, *, at=0.0, positive=0, arm="live", segment="8-1-1.jsonl"):
        text = ""
        for number in range(count):
            self.lines += 1
            logged = (START + timedelta(seconds=at + number / 1000)).isoformat()
            row = {"request_id": f"r{self.lines}", "row": 0, "model_version": version, "assigned_version": version, "key": None}
            row |= {"logged_at": logged, "event_time": logged, "prediction": 0.9 if number < positive else 0.1}
            text += json.dumps(row | {"latency_ms": 1.0, "arm": arm}) + "\n"
        with (self.folder / "segments" / segment).open("a") as handle:
            handle.write(text)


def look(log, plan, before=None, after=60.0):
    rt = SimpleNamespace(storage=SimpleNamespace(predictions=lambda model: log.folder), settings=settings())
    status = Status(state=State.RUNNING, weights={8: 10, 7: 90}, cursor=Cursor(since=START.timestamp()))
    seen = before or Measurement()
    return Look(rt, plan, status, seen, seen, START.timestamp() + after)


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "predictions")


def test_positive_decisions_of_both_versions_in_the_same_minutes(log):
    log.answered(8, 100, at=5, positive=40)
    log.answered(7, 900, at=5, positive=300)
    log.answered(7, 500, at=70, positive=500)  # nobody else answered in that minute
    log.answered(8, 50, at=5, positive=50, arm="shadow")
    found = PredictionLogSource().read(look(log, limited(), after=125))["actions"]
    assert (found.cut, found.rows, found.positive) == (0.4, 100, 40)
    assert (found.champion_rows, found.champion_positive) == (900, 300)
    assert (found.mean, found.champion_mean) == (pytest.approx(0.42), pytest.approx((300 * 0.9 + 600 * 0.1) / 900))


def test_each_row_counts_once_over_all_readings(log):
    log.answered(8, 10, at=1, positive=5)
    log.answered(7, 90, at=1, positive=9)
    source, plan = PredictionLogSource(), limited()
    first = Measurement(**source.read(look(log, plan, after=31)))
    assert source.read(look(log, plan, first, after=45)) == {}, "not due yet"
    log.answered(8, 10, at=40, positive=1)
    log.answered(7, 90, at=40, positive=9)
    second = source.read(look(log, plan, first, after=61))["actions"]
    assert (second.rows, second.positive, second.champion_rows) == (20, 6, 180)


def test_compaction_between_two_readings_loses_no_row(tmp_path):
    rt = build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}))
    spec, plan, source = load_model("flight_delay"), limited(), PredictionLogSource()
    log = Log(rt.storage.predictions(spec.name))
    log.answered(8, 10, at=1, positive=5)
    log.answered(7, 90, at=1, positive=9)
    first = Measurement(**source.read(look(log, plan, after=31)))
    log.answered(8, 10, at=40, positive=1)
    log.answered(7, 90, at=40, positive=9)
    assert compact_predictions(rt, spec, now=START + timedelta(days=1)).rows == 200
    log.answered(8, 5, at=45, positive=5, segment="8-1-2.jsonl.open")
    second = source.read(look(log, plan, first, after=61))["actions"]
    assert (second.rows, second.positive, second.champion_rows) == (25, 11, 180)


def test_without_a_limit_the_log_is_not_read(log):
    assert PredictionLogSource().read(look(log, plan_of(limits=LIMITS))) == {}


@pytest.mark.parametrize(
    ("positive", "rows", "outcome"),
    [(300, 1000, Outcome.PASS), (550, 1000, Outcome.FAIL), (60, 1000, Outcome.FAIL), (12, 30, Outcome.INCONCLUSIVE)],
)
def test_the_action_rate_may_differ_by_so_much_in_either_direction(positive, rows, outcome):
    found = ActionEvidence(at=1.0, rows=rows, positive=positive, champion_rows=9000, champion_positive=2700)
    assert check_action_rate(limited(), Measurement(actions=found)).outcome is outcome


def test_no_predictions_are_inconclusive_and_the_check_is_off_by_default():
    assert check_action_rate(limited(), Measurement()).outcome is Outcome.INCONCLUSIVE
    plan = plan_of(limits=LIMITS)
    assert "action_rate" not in [one.check for one in stage_checks(plan, plan.stage_at(0), Measurement())]
    assert limited().tests == plan.tests + len(plan.stages) + 1


METRIC = {"name": "revenue", "query": "sum(x)", "limit": 5.0}


@pytest.mark.parametrize(
    ("evidence", "outcome"),
    [
        (None, Outcome.INCONCLUSIVE),
        (MetricEvidence(at=1.0, problem="gone"), Outcome.INCONCLUSIVE),
        (MetricEvidence(at=1.0, value=4.0, readings=1), Outcome.PASS),
        (MetricEvidence(at=1.0, value=6.0, readings=2, broken=2), Outcome.INCONCLUSIVE),
        (MetricEvidence(at=1.0, value=6.0, readings=3, broken=3), Outcome.FAIL),
    ],
)
def test_a_metric_is_judged_by_readings_in_a_row(evidence, outcome):
    seen = Measurement(metrics={} if evidence is None else {"revenue": evidence})
    assert check_metric(MetricSection.model_validate(METRIC), seen).outcome is outcome


def test_a_required_metric_holds_every_stage_back():
    base = load_model("flight_delay").rollout.model_dump(mode="json")
    rules = RolloutSection.model_validate(base | {"metrics": [METRIC | {"required": True}, METRIC | {"name": "other"}]})
    for strategy in ("canary", "rolling", "shadow", "ab_test"):
        assert all("metric:revenue" in stage.must_pass for stage in stages_of(strategy, rules, 3))
        assert not any("metric:other" in stage.must_pass for stage in stages_of(strategy, rules, 3))


def test_places_are_filled_in_and_others_refused():
    one = MetricSection.model_validate(METRIC | {"query": 'x{model="{{model}}",v="{{version}}"} / x{v="{{champion}}"}'})
    assert one.filled("churn", 8, None) == 'x{model="churn",v="8"} / x{v="0"}'
    with pytest.raises(ValidationError, match="what stands in double braces may be model, version, champion"):
        MetricSection.model_validate(METRIC | {"query": "{{name}}"})
    base = load_model("flight_delay").rollout.model_dump(mode="json")
    with pytest.raises(ValidationError, match="different names"):
        RolloutSection.model_validate(base | {"metrics": [METRIC, METRIC]})


def test_memory_and_cores_of_processes():
    first = _usage([os.getpid()], None, 100.0)
    assert (first.servers, first.cores) == (1, None)
    assert first.memory > 10_000_000
    before = UsageEvidence(at=90.0, servers=1, cpu_seconds=first.cpu_seconds - 5)
    assert _usage([os.getpid()], before, 100.0).cores == pytest.approx(0.5, abs=0.1)
    assert _usage([2**22 + 1], None, 1.0).servers == 0
