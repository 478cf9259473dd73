"""Trainings that know a champion, up to the registry: warm start, learning on, own functions, and failures that harm nobody."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.errors import ArtefactDigestError, DataInvalidError, EntryPointError, SpecInvalidError
from include.lifecycle.registry.client import aliases_of, registry_client
from include.lifecycle.registry.promotion import promote
from include.lifecycle.registry.scoring import fitted_scores, load_fitted
from include.lifecycle.results import PreparedData, RegisteredVersion, StudyPlan, TrainedModel
from include.lifecycle.runtime import RunContext
from include.lifecycle.tables import training_requests
from include.lifecycle.training.champion import fitted_pipeline, training_record
from include.lifecycle.training.failure import report_failure
from include.lifecycle.training.fitting import train_model
from include.lifecycle.training.requests import finish_requests, request_training
from include.lifecycle.training.study import load_study
from include.lifecycle.training.tuning import open_study, run_trials
from include.settings import PROJECT_ROOT
from tests.integration.registry_lab import START, Lab, lab_spec

pytestmark = pytest.mark.integration
FOREST = {"estimators": ["random_forest"], "trials": 2, "tuning_rows": 800, "study_plots": False}


def defaults() -> dict[str, Any]:
    import yaml

    plain: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "include/models/_defaults.yaml").read_text())["training"]
    return plain


def lab_of(make_runtime: Any, mlflow_server: str, postgres: Any, home: Path | None = None, **training: Any) -> Lab:
    where = {"MODELOPS_MLFLOW_URL": mlflow_server, "MODELOPS_OPTUNA_URL": postgres.url(postgres.create_database())}
    rt = make_runtime(**where, **({"MODELOPS_HOME": str(home)} if home else {}))
    return Lab(rt, lab_spec(f"flights_{uuid4().hex[:8]}", training=defaults() | training))


def plan_of(lab: Lab, prepared: PreparedData, champion: int | None = None, method: str = "full") -> StudyPlan:
    order = lab.order().model_copy(update={"champion": champion, "method": method})
    return open_study(lab.spec, lab.rt, lab.run("prepare_data"), order, prepared)


def fit(lab: Lab, plan: StudyPlan, prepared: PreparedData, champion: int | None = None) -> TrainedModel:
    order = lab.order().model_copy(update={"champion": champion, "method": plan.method})
    run_trials(lab.spec, lab.rt, lab.run("tune"), plan, prepared, 0)
    return train_model(lab.spec, lab.rt, lab.run("train_model"), order, plan, prepared)


def register(lab: Lab, prepared: PreparedData, trained: TrainedModel) -> RegisteredVersion:
    return lab.register(prepared, trained, lab.evaluate(prepared, trained))


def champion_of(lab: Lab, prepared: PreparedData) -> tuple[int, TrainedModel]:
    trained = fit(lab, plan_of(lab, prepared), prepared)
    version = register(lab, prepared, trained).version
    promote(lab.rt, lab.spec.name, version, reason="a test", key=f"promote:{lab.spec.name}", actor="tests")
    return version, trained


def grown(lab: Lab, days: int) -> PreparedData:
    """The same days as before and `days` more, as the next run's rows."""
    return lab.prepare(train_days=60 + days, holdout_days=20)


def test_the_champions_point_comes_first_and_the_next_training_knows_it(make_runtime, mlflow_server, postgres):
    lab = lab_of(make_runtime, mlflow_server, postgres, **FOREST)
    prepared = lab.prepare()
    version, trained = champion_of(lab, prepared)
    record = training_record(lab.rt, lab.spec.name, version)
    assert record is not None
    assert (record["algorithm"], record["params"], record["digest"]) == ("random_forest", trained.params, trained.digest)
    holdout = lab.holdout(prepared)
    stored = fitted_scores(fitted_pipeline(lab.rt, lab.spec.name, version), lab.spec.features, holdout)
    assert (stored == fitted_scores(load_fitted(trained), lab.spec.features, holdout)).all()
    tags = registry_client(lab.rt).get_model_version(lab.spec.name, str(version)).tags
    assert tags["method"] == "full"

    lab.run_id = "manual__2"
    plan = plan_of(lab, prepared, version)
    assert plan.notes == [f"the parameters of version {version} are tried first"]
    first = load_study(lab.rt, plan.study, lab.spec.training).trials[0]
    wanted = {f"random_forest__{name}": value for name, value in trained.params.items()} | {"algorithm": "random_forest"}
    assert first.system_attrs["fixed_params"] == wanted

    narrow = defaults() | FOREST | {"search": {"random_forest": {"n_estimators": {"low": 5, "high": 10}}}}
    lab.spec, lab.run_id = lab_spec(lab.spec.name, training=narrow), "manual__3"
    plan = plan_of(lab, prepared, version)
    assert f"n_estimators {trained.params['n_estimators']} became 10: drawn into training.search" in plan.notes[0]
    assert load_study(lab.rt, plan.study, lab.spec.training).trials[0].system_attrs["fixed_params"] == {
        "algorithm": "random_forest",
        "random_forest__n_estimators": 10,
    }
    lab.spec, lab.run_id = lab_spec(lab.spec.name, training=defaults() | FOREST | {"warm_start": False}), "manual__4"
    assert plan_of(lab, prepared, version).notes == []


def test_a_champion_learns_on_from_newer_rows(make_runtime, mlflow_server, postgres):
    lab = lab_of(make_runtime, mlflow_server, postgres, **FOREST, method="incremental")
    first = plan_of(lab, lab.prepare(), None, "incremental")
    assert first.notes == ["method full instead of incremental: there is no champion to learn on from"]
    assert any(row["act"] == "train in full" for row in lab.rt.ledger.read(lab.spec.name))
    version, trained = champion_of(lab, lab.prepare())

    lab = lab.at(lab.rt.clock.now() + timedelta(days=20))
    lab.run_id = "manual__2"
    with pytest.raises(DataInvalidError, match=r"0 training rows are newer than the fit of champion 1 .*minimum_rows is 500"):
        plan_of(lab, lab.prepare(), version, "incremental")
    prepared = grown(lab, 15)
    plan = plan_of(lab, prepared, version, "incremental")
    assert (plan.method, plan.base_version, plan.trials) == ("incremental", version, 0)
    learnt = fit(lab, plan, prepared, version)
    assert (learnt.method, learnt.base_version, learnt.params) == ("incremental", version, trained.params)
    record = json.loads((learnt.folder / "training.json").read_text())
    until = training_record(lab.rt, lab.spec.name, version)
    assert until is not None
    new = pd.read_parquet(prepared.train)["departs_at"] > pd.Timestamp(until["fit_until"])
    assert record["fit_rows"] == int(new.sum()) == 1500
    assert record["trees"] == until["trees"] + lab.spec.training.incremental.new_trees
    again = train_model(lab.spec, lab.rt, lab.run("again"), lab.order().model_copy(update={"champion": version}), plan, prepared)
    holdout = lab.holdout(prepared)
    one, two = (fitted_scores(load_fitted(found), lab.spec.features, holdout) for found in (learnt, again))
    assert one.tobytes() == two.tobytes()
    registered = register(lab, prepared, learnt)
    tags = registry_client(lab.rt).get_model_version(lab.spec.name, str(registered.version)).tags
    assert (tags["method"], tags["base_version"]) == ("incremental", str(version))


def test_what_cannot_learn_on_says_who_can_and_a_changed_file_is_refused(make_runtime, mlflow_server, postgres):
    lab = lab_of(make_runtime, mlflow_server, postgres, **FOREST | {"estimators": ["logistic_regression"]})
    version, _ = champion_of(lab, lab.prepare())
    lab.run_id = "manual__2"
    with pytest.raises(SpecInvalidError, match=r"champion 1 is a logistic_regression, .* works for lightgbm, random_forest"):
        plan_of(lab, grown(lab, 15), version, "incremental")
    registry_client(lab.rt).set_model_version_tag(lab.spec.name, str(version), "model_digest", "0" * 64)
    with pytest.raises(ArtefactDigestError, match="registered was 000"):
        fitted_pipeline(lab.rt, lab.spec.name, version)


def test_an_own_function_from_rows_to_a_served_version(make_runtime, mlflow_server, postgres, tmp_path: Path):
    code = tmp_path / "include" / "training" / "flights.py"
    code.parent.mkdir(parents=True)
    code.write_text((PROJECT_ROOT / "docs/examples/own_training.py").read_text())
    said = "include.training.flights:train"
    lab = lab_of(make_runtime, mlflow_server, postgres, tmp_path, entry_point=said)
    prepared = lab.prepare()
    trained = fit(lab, plan_of(lab, prepared), prepared)
    record = json.loads((trained.folder / "training.json").read_text())
    assert (trained.algorithm, record["entry_point"], record["calibration_rows"]) == ("calibrated_boosting", said, 1200.0)
    registered = register(lab, prepared, trained)
    tags = registry_client(lab.rt).get_model_version(lab.spec.name, str(registered.version)).tags
    assert (tags["entry_point"], tags["entry_point_digest"], tags["method"]) == (
        said,
        record["entry_point_digest"],
        "entry_point",
    )
    code.write_text("def train(inputs):\n    raise ValueError('no rows of Monday')\n")
    lab.run_id = "manual__2"
    with pytest.raises(EntryPointError, match=f"{said} failed: ValueError: no rows of Monday"):
        fit(lab, plan_of(lab, prepared), prepared)


def test_a_failed_training_says_who_keeps_serving_and_may_still_end_well(make_runtime, mlflow_server, postgres):
    lab = lab_of(make_runtime, mlflow_server, postgres, **FOREST)
    prepared = lab.prepare()
    version, _ = champion_of(lab, prepared)
    lab.run_id = "manual__2"
    plan = plan_of(lab, prepared, version)
    model, rt = lab.spec.name, lab.rt
    with transaction(rt.engine) as connection:
        asked = {"source": "manual", "reason": "x", "cause": "manual", "requested_by": "ann", "requested_at": START}
        request_training(rt, connection, model=model, **asked)
        connection.execute(training_requests.update().values(state="claimed", run_id="manual__2"))
    failed = {"tune[0]": None, "tune[1]": "DataInvalidError: one class only"}
    run = RunContext(model, "manual__2", "report_failure")
    reported = report_failure(lab.spec, rt, run, failed, plan.parent_run_id)
    assert (reported.champion, reported.requests) == (version, 1)
    assert reported.message == (
        "training failed at tune[0]: it ended without a word; tune[1]: DataInvalidError: one class only. Version 1 keeps serving."
    )
    again = report_failure(lab.spec, rt, run, failed, plan.parent_run_id)
    assert (again.ledger_id, again.requests) == (reported.ledger_id, 0)
    assert aliases_of(rt, model)["champion"] == version
    assert registry_client(rt).get_run(plan.parent_run_id).info.status == "FAILED"
    with transaction(rt.engine) as connection:
        row = connection.execute(select(training_requests).where(training_requests.c.model == model)).mappings().one()
    assert (row["state"], row["outcome"]) == ("failed", reported.message)
    finish_requests(rt, model, "manual__2", "done", 2, "a person ran the failed task again")
    with transaction(rt.engine) as connection:
        assert connection.execute(select(training_requests.c.state).where(training_requests.c.model == model)).scalar() == "done"
    nobody = report_failure(
        lab_spec("nobody_yet"), rt, RunContext("nobody_yet", "r", "report_failure"), {"fetch_data": "SourceQueryError: x"}, None
    )
    assert nobody.message == "training failed at fetch_data: SourceQueryError: x. No version serves yet."
