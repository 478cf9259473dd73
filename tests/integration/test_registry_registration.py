"""register_model against a real MLflow: once, whole, verifiable, servable."""

from __future__ import annotations

import json
import time
from uuid import uuid4

import numpy as np
import pytest
from mlflow import MlflowClient
from sqlalchemy import select

from include.lifecycle.database import transaction
from include.lifecycle.errors import ArtefactDigestError, SourceUnavailableError
from include.lifecycle.ledger import Ledger
from include.lifecycle.monitoring.profile import read_profile
from include.lifecycle.registry import registration
from include.lifecycle.registry.artefacts import materialise_profile, materialise_version
from include.lifecycle.registry.client import aliases_of, registry_client, versions_of
from include.lifecycle.registry.promotion import promote
from include.lifecycle.registry.scoring import columns_of, fitted_scores, load_fitted, score, served_engine
from include.lifecycle.tables import candidates
from tests.integration.registry_lab import Lab, files_below, lab_spec

pytestmark = pytest.mark.integration


@pytest.fixture
def lab(make_runtime, mlflow_server) -> Lab:
    return Lab(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server), lab_spec(f"flights_{uuid4().hex[:8]}"))


def test_a_version_is_whole_and_serves_what_was_evaluated(lab: Lab) -> None:
    prepared = lab.prepare()
    trained = lab.fit(prepared)
    begin = time.monotonic()
    evaluation = lab.evaluate(prepared, trained)
    evaluated = time.monotonic()
    registered = lab.register(prepared, trained, evaluation)
    print(f"evaluate {evaluated - begin:.2f} s, register {time.monotonic() - evaluated:.2f} s")
    assert (registered.version, registered.engine) == (1, "onnx")
    assert evaluation.deployable, evaluation.reason
    folder, digest = materialise_version(lab.rt, lab.spec.name, 1)
    assert digest == registered.manifest_digest
    assert files_below(folder) == {"model.onnx", "serving.json", "golden.json", "manifest.json"}
    engine, serving = served_engine(folder)
    holdout = lab.holdout(prepared)
    assert (
        np.max(np.abs(score(engine, serving, holdout) - fitted_scores(load_fitted(trained), lab.spec.features, holdout))) < 1e-5
    )
    golden = json.loads((folder / "golden.json").read_text())
    columns = {one["name"]: one["data"] for one in golden["inputs"]["inputs"]}
    assert None in columns["wind"]
    assert None in columns["carrier"]
    assert np.allclose(engine.predict(columns, len(golden["predictions"])), golden["predictions"], atol=golden["tolerance"])
    assert set(columns_of(holdout, serving)) == set(columns)


def test_mlflow_holds_model_signature_tags_and_metrics(lab: Lab) -> None:
    import mlflow.sklearn

    from include.serving.trusted_types import TRUSTED_TYPES

    registered = lab.whole("scheduled__2013-08-01T00:00:00+00:00")
    entry = registry_client(lab.rt).get_model_version(lab.spec.name, "1")
    assert entry.tags["run_id"] == "scheduled__2013-08-01T00:00:00+00:00"
    assert {"fit_until", "snapshot_id", "spec_hash", "algorithm", "window_start", "cause", "onnx_difference"} <= set(entry.tags)
    assert entry.tags["stage"] == "Staging"
    data = registry_client(lab.rt).get_run(registered.run_id).data
    assert data.metrics["roc_auc"] > 0.6
    assert data.metrics["baseline_roc_auc"] == 0.5
    mlflow.set_tracking_uri(lab.rt.settings.mlflow_url)
    info = mlflow.models.get_model_info(f"models:/{lab.spec.name}/1")
    assert [one.name for one in info.signature.inputs.inputs] == lab.spec.features.all
    model = mlflow.sklearn.load_model(f"models:/{lab.spec.name}/1")
    assert type(model).__name__ == "Pipeline"
    assert TRUSTED_TYPES
    profile = read_profile(materialise_profile(lab.rt, lab.spec.name, 1))
    assert profile.train_rows == 6000


def test_a_second_try_finds_the_version_and_changes_nothing(lab: Lab) -> None:
    prepared = lab.prepare()
    trained = lab.fit(prepared)
    evaluation = lab.evaluate(prepared, trained)
    first = lab.register(prepared, trained, evaluation)
    assert lab.register(prepared, trained, evaluation) == first
    assert len(versions_of(lab.rt, lab.spec.name)) == 1
    with transaction(lab.rt.engine) as connection:
        rows = connection.execute(select(candidates).where(candidates.c.model == lab.spec.name)).all()
    assert [(row.id, row.version, row.state) for row in rows] == [(first.candidate_id, 1, "open")]
    assert [row["phase"] for row in lab.rt.ledger.read(lab.spec.name, kind="training")] == ["done", "intended"]


WRITES = {
    MlflowClient: (
        "create_logged_model",
        "log_model_artifacts",
        "log_model_artifact",
        "create_registered_model",
        "create_model_version",
        "log_batch",
        "finalize_logged_model",
        "set_model_version_tag",
        "set_registered_model_alias",
    ),
    Ledger: ("write",),
    registration: ("open_candidate", "finish_requests"),
}


def test_a_kill_after_any_call_ends_in_one_version(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill is an exception that nothing handles, raised after the k-th call that changes something took effect, for every k."""

    class KilledError(BaseException):
        pass

    def counted(real):
        def call(*arguments, **named):
            answer = real(*arguments, **named)
            calls.append(real.__name__)
            if len(calls) == deadly:
                raise KilledError
            return answer

        return call

    prepared = lab.prepare(train_days=20, holdout_days=10, per_day=60)
    trained = lab.fit(prepared, "logistic_regression")
    evaluation = lab.evaluate(prepared, trained)
    lab.register(prepared, trained, evaluation)
    promote(lab.rt, lab.spec.name, 1, reason="a test", key=f"{lab.spec.name}:1", actor="test")
    deadly, killed = 1, True
    while killed:
        lab.run_id, calls = f"manual__killed_{deadly}", []
        with monkeypatch.context() as patch:
            for owner, names in WRITES.items():
                for name in names:
                    patch.setattr(owner, name, counted(getattr(owner, name)))
            try:
                lab.register(prepared, trained, evaluation)
                killed = False
            except KilledError:
                registered = lab.register(prepared, trained, evaluation)
                assert registered.version == deadly + 1, calls
                assert aliases_of(lab.rt, lab.spec.name) == {"champion": 1, "challenger": registered.version}, calls
        deadly += 1
    assert deadly > 20, "it counted the calls"
    entries = versions_of(lab.rt, lab.spec.name)
    assert [int(entry.version) for entry in entries] == list(range(1, deadly + 1))
    assert [entry.tags["semver"] for entry in entries] == [f"1.0.{patch}" for patch in range(deadly)]
    assert all({"manifest_digest", "files_digest"} <= set(entry.tags) for entry in entries)
    with transaction(lab.rt.engine) as connection:
        rows = connection.execute(select(candidates.c.version).where(candidates.c.model == lab.spec.name)).scalars().all()
    assert sorted(rows) == list(range(1, deadly + 1))
    phases = [(row["run_id"], row["phase"]) for row in lab.rt.ledger.read(lab.spec.name, kind="training", limit=1000)]
    assert len(phases) == len(set(phases)) == 2 * deadly
    experiment = registry_client(lab.rt).get_experiment_by_name(f"modelops/{lab.spec.name}").experiment_id
    assert len(registry_client(lab.rt).search_logged_models([experiment])) == deadly
    assert materialise_version(lab.rt, lab.spec.name, deadly)


def test_a_model_that_does_not_convert_is_served_by_scikit_learn(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.lifecycle.registry.onnx_export.TOLERANCE", 0.0)
    registered = lab.whole("manual__fallback", per_day=60)
    assert registered.engine == "sklearn"
    tags = registry_client(lab.rt).get_model_version(lab.spec.name, "1").tags
    assert tags["engine_reason"].startswith("differs by")
    folder, _ = materialise_version(lab.rt, lab.spec.name, 1)
    assert "model.skops" in files_below(folder)
    golden = json.loads((folder / "golden.json").read_text())
    columns = {one["name"]: one["data"] for one in golden["inputs"]["inputs"]}
    assert np.allclose(served_engine(folder)[0].predict(columns, len(golden["predictions"])), golden["predictions"])


def test_a_version_that_failed_a_gate_is_kept_but_is_no_candidate(lab: Lab) -> None:
    registered = lab.whole("manual__bad", signal=0.0)
    assert registered.candidate_id is None
    assert "floor" in registered.reason
    tags = registry_client(lab.rt).get_model_version(lab.spec.name, "1").tags
    assert (tags["stage"], tags["outcome"], tags["deployable"]) == ("None", "fail", "false")


def test_a_challenger_gets_its_alias(lab: Lab) -> None:
    first = lab.whole("manual__1")
    assert aliases_of(lab.rt, lab.spec.name) == {}
    promote(lab.rt, lab.spec.name, first.version, reason="first", key=f"{lab.spec.name}:1", actor="test")
    second = lab.whole("manual__2", seed=2)
    assert second.candidate_id is not None, second.reason
    assert aliases_of(lab.rt, lab.spec.name) == {"champion": 1, "challenger": 2}


def test_damaged_copies_are_fetched_again_and_foreign_ones_refused(lab: Lab) -> None:
    lab.whole("manual__1", per_day=60)
    folder, digest = materialise_version(lab.rt, lab.spec.name, 1)
    (folder / "model.onnx").write_bytes(b"damaged")
    assert materialise_version(lab.rt, lab.spec.name, 1) == (folder, digest)
    assert served_engine(folder)
    registry_client(lab.rt).set_model_version_tag(lab.spec.name, "1", "manifest_digest", "0" * 64)
    with pytest.raises(ArtefactDigestError, match="expected 0000"):
        materialise_version(lab.rt, lab.spec.name, 1)


def test_a_changed_model_file_is_never_registered(lab: Lab) -> None:
    prepared = lab.prepare(per_day=60)
    trained = lab.fit(prepared)
    evaluation = lab.evaluate(prepared, trained)
    lab.fit(prepared, "logistic_regression")
    with pytest.raises(ArtefactDigestError, match="training wrote"):
        lab.register(prepared, trained, evaluation)
    assert versions_of(lab.rt, lab.spec.name) == []


def test_a_dead_mlflow_is_a_retryable_error_within_seconds(make_runtime, lab: Lab) -> None:
    prepared = lab.prepare(per_day=60)
    trained = lab.fit(prepared)
    evaluation = lab.evaluate(prepared, trained)
    lab.rt = make_runtime(MODELOPS_MLFLOW_URL="http://127.0.0.1:9")
    begin = time.monotonic()
    with pytest.raises(SourceUnavailableError, match="did not answer"):
        lab.register(prepared, trained, evaluation)
    assert time.monotonic() - begin < 15
