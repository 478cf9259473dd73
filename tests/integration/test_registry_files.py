"""Every file of a version is under its digest: a flipped byte is refused wherever it would be loaded; cards, exports."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import yaml

from include.lifecycle.cli import main
from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.evaluation.champion import load_champion
from include.lifecycle.registry.artefacts import fetch_version, materialise_profile, materialise_version
from include.lifecycle.registry.client import registry_client
from include.lifecycle.registry.exports import export_version
from include.lifecycle.registry.record import read_record
from include.lifecycle.registry.scoring import load_fitted
from include.lifecycle.storage import sha256_of
from include.serving.server import EXIT_DIGEST
from tests.integration.registry_lab import Lab, files_below, lab_spec

pytestmark = pytest.mark.integration
SMALL = {"train_days": 20, "holdout_days": 10, "per_day": 60}


@pytest.fixture
def lab(make_runtime, mlflow_server) -> Lab:
    return Lab(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server), lab_spec(f"flights_{uuid4().hex[:8]}"))


def flip(file: Path) -> bytes:
    """Change one byte in the middle of a file and return what it held."""
    before = file.read_bytes()
    middle = len(before) // 2
    file.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
    return before


def stored(lab: Lab) -> Path:
    """The folder in which MLflow's server keeps version 1's files."""
    root = next(Path("/tmp").glob("modelops-mlflow-*/files"), None)
    entry = registry_client(lab.rt).get_model_version(lab.spec.name, "1")
    identity = entry.source.removeprefix("models:/")
    found = [path for base in Path("/tmp").glob("modelops-mlflow-*/files") for path in base.rglob(f"{identity}/artifacts")]
    assert root is not None
    assert len(found) == 1
    return found[0]


def test_a_flipped_byte_in_any_stored_file_is_refused_by_each_loader(lab: Lab, tmp_path: Path) -> None:
    lab.whole("manual__1", "logistic_regression", **SMALL)
    place, name = stored(lab), lab.spec.name
    every = sorted(files_below(place))
    assert {"record.json", "snapshot.dvc", "card/README.md", "exports/exports.json", "manifest.json", "model.skops"} <= set(every)
    for file in every:
        before = flip(place / file)
        with pytest.raises(ArtefactDigestError):
            fetch_version(lab.rt, name, 1, tmp_path / "whole")
        if file.startswith("serving/"):
            for load in (materialise_version, load_champion):
                shutil.rmtree(lab.rt.storage.served(name, 1), ignore_errors=True)
                with pytest.raises(ArtefactDigestError):
                    load(lab.rt, name, 1)
        if file.startswith("profile/"):
            with pytest.raises(ArtefactDigestError):
                materialise_profile(lab.rt, name, 1)
        (place / file).write_bytes(before)
    (place / "added.txt").write_text("not registered")
    with pytest.raises(ArtefactDigestError, match=r"added.txt not listed"):
        fetch_version(lab.rt, name, 1, tmp_path / "whole")
    (place / "added.txt").unlink()
    assert files_below(fetch_version(lab.rt, name, 1, tmp_path / "whole")) == set(every)


def test_a_flipped_byte_on_this_machine_is_never_loaded(lab: Lab) -> None:
    prepared = lab.prepare(**SMALL)
    trained = lab.fit(prepared, "logistic_regression")
    lab.register(prepared, trained, lab.evaluate(prepared, trained))
    folder, digest = materialise_version(lab.rt, lab.spec.name, 1)
    for file in sorted(files_below(folder)):
        before = flip(folder / file)
        command = [sys.executable, "-m", "include.serving.server", "--directory", str(folder), "--digest", digest]
        started = subprocess.run([*command, "--port", "0", "--log-dir", str(folder.parent)], capture_output=True, check=False)
        assert started.returncode == EXIT_DIGEST, started.stderr.decode()
        materialise_version(lab.rt, lab.spec.name, 1)
        assert (folder / file).read_bytes() == before, "a damaged copy is fetched again before anybody loads it"
    flip(trained.folder / "model.skops")
    with pytest.raises(ArtefactDigestError, match="training wrote"):
        load_fitted(trained)


def test_the_record_and_the_card_tell_what_made_the_version(lab: Lab, tmp_path: Path) -> None:
    registered = lab.whole("manual__1", "logistic_regression", **SMALL)
    root = fetch_version(lab.rt, lab.spec.name, 1, tmp_path / "whole")
    record = read_record(root)
    assert (record.spec_hash, record.algorithm, record.params) == (lab.spec.digest, "logistic_regression", {"C": 1.0})
    assert record.spec == lab.spec.model_dump(mode="json")
    assert record.environment["packages"]["scikit-learn"]
    assert len(record.data["holdout_digest"]) == 64
    card = (root / "card/README.md").read_text()
    _, block, body = card.split("---\n", 2)
    data = yaml.safe_load(block)
    result = data["model-index"][0]["results"][0]
    assert (data["library_name"], data["pipeline_tag"], result["task"]["type"]) == ("sklearn", *["tabular-classification"] * 2)
    evaluation = json.loads((root / "evaluation/evaluation.json").read_text())["evaluation"]
    shown = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert shown["roc_auc"] == evaluation["metrics"]["roc_auc"]
    for verdict in evaluation["verdicts"]:
        assert verdict["check"].replace("_", "\\_") in body
    assert registered.reason.split(";")[0][:40].replace("_", "\\_") in body
    assert "<h1>" in (root / "card/card.html").read_text()


def test_exports_are_named_after_their_source_and_checked(lab: Lab, tmp_path: Path, capsys) -> None:
    lab.whole("manual__1", "logistic_regression", **SMALL)
    name, settings = lab.spec.name, lab.rt.settings
    assert main(["export", name, "1", "--format", "onnx", "--out", str(tmp_path)], settings=settings) == 0
    digest = registry_client(lab.rt).get_model_version(name, "1").tags["manifest_digest"]
    file = tmp_path / f"{name}-v1-1.0.0-{digest[:12]}.onnx"
    source = json.loads((tmp_path / f"{file.name}.source.json").read_text())
    assert (source["model"], source["version"], source["manifest_digest"]) == (name, "1", digest)
    assert source["sha256"] == sha256_of(file) == sha256_of(materialise_version(lab.rt, name, 1)[0] / "model.onnx")
    assert main(["export", name, "1", "--format", "onnx", "--out", str(file)], settings=settings) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", name, "1", "--format", "quantised-onnx", "--out", str(tmp_path / "q")], settings=settings) == 2
    assert "export.quantise.enabled is false" in capsys.readouterr().err
    skops = export_version(lab.rt, name, 1, "skops", tmp_path / "model.skops")
    first = export_version(lab.rt, name, 1, "bundle", tmp_path / "one.zip")
    assert first.digest == export_version(lab.rt, name, 1, "bundle", tmp_path / "two.zip").digest
    with zipfile.ZipFile(first.path) as bundle:
        assert bundle.read("model.skops") == skops.path.read_bytes()
        golden = json.loads(bundle.read("serving/golden.json"))
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    kinds = {"FP64": np.float32, "BYTES": object}
    feed = {
        one["name"]: np.array(
            ["missing" if v is None and one["datatype"] == "BYTES" else np.nan if v is None else v for v in one["data"]],
            dtype=kinds[one["datatype"]],
        ).reshape(-1, 1)
        for one in golden["inputs"]["inputs"]
    }
    answer = session.run(["probabilities"], feed)[0][:, 1]
    assert np.allclose(answer, golden["predictions"], atol=golden["tolerance"])


def test_a_quantised_copy_without_gain_is_refused(make_runtime, mlflow_server, tmp_path: Path, capsys) -> None:
    limits = dict.fromkeys(("metric_loss", "calibration_loss", "largest_difference", "size_gain"), 0.0)
    quantise = {"enabled": True, "rows": 100, **limits}
    spec = lab_spec(f"flights_{uuid4().hex[:8]}", export={"quantise": quantise})
    lab = Lab(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server), spec)
    lab.whole("manual__1", "logistic_regression", **SMALL)
    out = str(tmp_path / "q.onnx")
    assert main(["export", spec.name, "1", "--format", "quantised-onnx", "--out", out], settings=lab.rt.settings) == 2
    assert "no gain: the file grows by" in capsys.readouterr().err
    root = fetch_version(lab.rt, spec.name, 1, tmp_path / "whole")
    told = json.loads((root / "exports/exports.json").read_text())["formats"]["quantised-onnx"]
    assert told["accepted"] is False
    assert told["losses"]["size_gain"] < 0
