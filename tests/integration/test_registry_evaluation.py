"""evaluate_model whole: the champion as it is served, on identical rows after both fits, with report and ledger entry."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.registry.client import registry_client
from include.lifecycle.registry.promotion import promote
from include.lifecycle.results import Evaluation
from include.lifecycle.verdicts import Verdict
from tests.integration.registry_lab import Lab, lab_spec

pytestmark = pytest.mark.integration


@pytest.fixture
def lab(make_runtime, mlflow_server) -> Lab:
    spec = lab_spec(f"judged_{uuid4().hex[:8]}", evaluation={"margin": 0.02})
    return Lab(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server), spec)


def crown(lab: Lab, rows: int | None = None) -> None:
    """Register a version fitted on the first `rows` training rows (all when None), as champion."""
    prepared = lab.prepare()
    trained = lab.fit(prepared, rows=rows)
    version = lab.register(prepared, trained, lab.evaluate(prepared, trained)).version
    promote(lab.rt, lab.spec.name, version, reason="a test", key=f"{lab.spec.name}:{version}", actor="test")


def named(evaluation: Evaluation, check: str) -> Verdict:
    return next(verdict for verdict in evaluation.verdicts if verdict.check == check)


def checks(evaluation) -> dict[str, str]:
    return {verdict.check: verdict.outcome.value for verdict in evaluation.verdicts}


def test_a_first_version_is_judged_alone(lab: Lab) -> None:
    prepared = lab.prepare()
    evaluation = lab.evaluate(prepared, lab.fit(prepared))
    found = checks(evaluation)
    assert {name: found[name] for name in ("floor", "baseline", "champion", "latency")} == {
        "floor": "pass",
        "baseline": "pass",
        "champion": "pass",
        "latency": "pass",
    }
    exact = [found[f"consistency:{name}"] for name in ("repeated", "permuted", "single")]
    assert exact == ["pass"] * 3
    assert set(evaluation.switched_off) == {"floors", "anchor", "fairness", "action_rate", "business", "slice"}
    assert evaluation.proven_better
    assert evaluation.champion_metrics is None
    report = json.loads(evaluation.report.read_text())
    assert report["evaluation"]["metrics"]["roc_auc"] == evaluation.metrics["roc_auc"]
    assert "May be rolled out" in (evaluation.report.parent / "evaluation.md").read_text()
    (entry,) = lab.rt.ledger.read(lab.spec.name, kind="gate")
    assert (entry["verdict"], entry["run_id"]) == ("pass", lab.run_id)
    assert [one["check"] for one in entry["evidence"]["verdicts"]] == [one.check for one in evaluation.verdicts]
    assert entry["evidence"]["switched_off"]["slice"] == "evaluation.slices is empty"
    importance = json.loads((evaluation.report.parent / "importance.json").read_text())
    assert {one["feature"] for one in importance["features"]} == set(lab.spec.features.all)
    page = lab.rt.storage.reports(lab.spec.name) / "evaluation-manual__1.html"
    assert page.read_bytes() == (evaluation.report.parent / "evaluation.html").read_bytes()


def test_the_same_model_again_is_not_worse_and_scores_the_same(lab: Lab) -> None:
    crown(lab)
    lab.run_id = "manual__2"
    prepared = lab.prepare()
    trained = lab.fit(prepared)
    evaluation = lab.evaluate(prepared, trained)
    assert checks(evaluation)["champion:not_worse:roc_auc"] == "pass"
    assert evaluation.champion_metrics is not None
    assert evaluation.champion_metrics["brier_score"] == pytest.approx(evaluation.metrics["brier_score"], abs=1e-6)
    gain = named(evaluation, "champion:not_worse:roc_auc").evidence
    assert gain["champion_version"] == 1
    assert gain["rows"] == prepared.holdout_rows
    assert gain["after"] == prepared.fit_until.isoformat()
    again = lab.evaluate(prepared, trained)
    assert again == evaluation
    assert len(lab.rt.ledger.read(lab.spec.name, kind="gate")) == 2, "one per evaluation, however often the task runs"


def test_a_decay_must_be_answered_by_a_better_model(lab: Lab) -> None:
    crown(lab, rows=400)
    lab.run_id = "signal__2"
    prepared = lab.prepare()
    trained = lab.fit(prepared)
    better = lab.evaluate(prepared, trained, kind="decay", measure="calibration_gap", cause="decay:calibration_gap")
    assert checks(better)["champion:better:brier_score"] == "pass"
    assert checks(better)["champion:not_worse:roc_auc"] == "pass"
    assert better.deployable
    lab.register(prepared, trained, better)
    promote(lab.rt, lab.spec.name, 2, reason="a test", key=f"{lab.spec.name}:2", actor="test")
    lab.run_id = "signal__3"
    prepared = lab.prepare()
    worse = lab.evaluate(prepared, lab.fit(prepared, rows=150), cause="decay:calibration_gap")
    assert checks(worse)["champion:better:brier_score"] == "fail"
    assert not worse.deployable
    assert "brier_score" in worse.reason


def test_rows_before_the_champions_fit_do_not_count(lab: Lab) -> None:
    crown(lab)
    lab.run_id = "manual__2"
    prepared = lab.prepare()
    late = lab.holdout(prepared)["departs_at"].quantile(0.9)
    registry_client(lab.rt).set_model_version_tag(lab.spec.name, "1", "fit_until", late.isoformat())
    evaluation = lab.evaluate(prepared, lab.fit(prepared))
    comparison = named(evaluation, "champion:not_worse:roc_auc")
    assert comparison.outcome == "inconclusive"
    assert comparison.evidence["rows"] < 0.11 * prepared.holdout_rows
    assert "minimum_rows" in comparison.reason
    assert evaluation.deployable
    assert "the canary decides" in evaluation.reason


def test_a_champion_whose_files_are_not_what_was_registered_is_no_opponent(lab: Lab) -> None:
    crown(lab)
    lab.run_id = "manual__2"
    registry_client(lab.rt).set_model_version_tag(lab.spec.name, "1", "manifest_digest", "0" * 64)
    prepared = lab.prepare()
    with pytest.raises(ArtefactDigestError):
        lab.evaluate(prepared, lab.fit(prepared))
    registry_client(lab.rt).delete_model_version_tag(lab.spec.name, "1", "fit_until")


def test_a_champion_that_reads_vanished_columns_cannot_be_compared(lab: Lab) -> None:
    crown(lab)
    fewer = lab_spec(lab.spec.name, features={"numeric": ["wind", "hour"]})
    lab = Lab(lab.rt, fewer, "manual__2")
    prepared = lab.prepare()
    frame = lab.holdout(prepared).drop(columns="distance")
    frame.to_parquet(prepared.holdout, index=False)
    evaluation = lab.evaluate(prepared, lab.fit(prepared))
    assert checks(evaluation)["champion"] == "inconclusive"
    assert "distance" in named(evaluation, "champion").reason
