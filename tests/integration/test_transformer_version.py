"""A model with own feature code, from tables to a registered version: judged, copied, digested, and served from the copy."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

from include.lifecycle.data.transformer import with_features
from include.lifecycle.registry.artefacts import materialise_version, model_version
from include.lifecycle.registry.scoring import fitted_scores, load_fitted, score, served_engine
from tests.integration.registry_lab import Lab, files_below, lab_spec

pytestmark = pytest.mark.integration
SOURCE = """\
def transform(rows):
    rows["windy"] = rows["wind"] * (rows["hour"] > 12)
    rows["where"] = rows["airport"].str.lower() + "/" + rows["carrier"]
    return rows
"""
FEATURES = {
    "numeric": ["windy", "hour"],
    "categorical": ["where"],
    "transformer": "own:transform",
    "inputs": {"numeric": ["wind", "hour"], "categorical": ["carrier", "airport"]},
}


def test_what_was_trained_with_is_what_serves(make_runtime, mlflow_server, tmp_path: Path) -> None:
    own = tmp_path / "include" / "features" / "own.py"
    own.parent.mkdir(parents=True)
    own.write_text(SOURCE)
    rt = make_runtime(MODELOPS_MLFLOW_URL=mlflow_server, MODELOPS_HOME=str(tmp_path))
    lab = Lab(rt, lab_spec(f"flights_{uuid4().hex[:8]}", features=FEATURES))
    prepared = lab.prepare(train_days=40, holdout_days=15, per_day=60)
    for table in (prepared.train, prepared.holdout):
        with_features(lab.spec, tmp_path, pd.read_parquet(table), table.parent).to_parquet(table, index=False)
    own.write_text("def transform(rows):\n    raise RuntimeError('edited after the training began')\n")

    trained = lab.fit(prepared, "logistic_regression")
    registered = lab.register(prepared, trained, lab.evaluate(prepared, trained))

    folder, digest = materialise_version(lab.rt, lab.spec.name, registered.version)
    assert digest == registered.manifest_digest
    assert files_below(folder) == {"model.onnx", "serving.json", "golden.json", "manifest.json", "transformer.py"}
    assert (folder / "transformer.py").read_text() == SOURCE
    tags = model_version(lab.rt, lab.spec.name, registered.version).tags
    assert tags["transformer"] == "own:transform"
    assert tags["transformer_digest"] == hashlib.sha256(SOURCE.encode()).hexdigest()
    engine, serving = served_engine(folder)
    assert [column.name for column in serving.inputs] == ["wind", "hour", "carrier", "airport"]
    holdout = lab.holdout(prepared)
    fitted = fitted_scores(load_fitted(trained), lab.spec.features, holdout)
    assert np.max(np.abs(score(engine, serving, holdout) - fitted)) < 1e-5
    golden = json.loads((folder / "golden.json").read_text())
    columns = {one["name"]: one["data"] for one in golden["inputs"]["inputs"]}
    assert list(columns) == ["wind", "hour", "carrier", "airport"]
    assert np.allclose(engine.predict(columns, len(golden["predictions"])), golden["predictions"], atol=golden["tolerance"])
