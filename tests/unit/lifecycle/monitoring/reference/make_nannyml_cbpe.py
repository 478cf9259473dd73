"""Writes nannyml_cbpe.json beside it: NannyML's CBPE on seeded data. Run in an environment of its own:

uv venv /tmp/nannyml && uv pip install --python /tmp/nannyml/bin/python nannyml==0.13.1 statsmodels &&
NML_DISABLE_USAGE_LOGGING=1 /tmp/nannyml/bin/python <this file>
"""

from __future__ import annotations

import json
from pathlib import Path

import nannyml
import numpy as np
import pandas as pd
from nannyml.performance_estimation.confidence_based import CBPE

METRICS = ["roc_auc", "accuracy", "precision", "recall", "f1", "average_precision"]
ROWS, CHUNK = 2400, 600


def binary(random: np.random.Generator, rows: int, spread: float, bent: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rounded predictions and labels: `bent` predictions are too sure of themselves, `spread` says how much they tell."""
    logit = random.normal(-0.6, spread, rows)
    labels = (random.uniform(size=rows) < 1 / (1 + np.exp(-logit))).astype(int)
    return np.round(1 / (1 + np.exp(-logit * (1.8 if bent else 1.0))), 4), labels


def estimated(bent: bool) -> dict:
    random = np.random.default_rng(7 + bent)
    before, labels = binary(random, ROWS, 1.5, bent)
    chunks = [binary(random, CHUNK, spread, bent)[0] for spread in (1.5, 1.0, 0.5)]
    reference = pd.DataFrame({"p": before, "said": (before >= 0.5).astype(int), "label": labels})
    live = pd.DataFrame({"p": np.concatenate(chunks)})
    live["said"] = (live["p"] >= 0.5).astype(int)
    estimator = CBPE(
        y_pred_proba="p", y_pred="said", y_true="label", metrics=METRICS, chunk_size=CHUNK, problem_type="classification_binary"
    )
    estimator.fit(reference)
    found = estimator.estimate(live).filter(period="analysis").to_df()
    values = {name: [float(found[name, "value"].iloc[place]) for place in range(len(chunks))] for name in METRICS}
    return {
        "needs_calibration": bool(estimator.needs_calibration),
        "reference": {"predictions": before.tolist(), "labels": labels.tolist()},
        "chunks": [chunk.tolist() for chunk in chunks],
        "values": values,
    }


if __name__ == "__main__":
    told = {"nannyml": nannyml.__version__, "calibrated": estimated(bent=False), "bent": estimated(bent=True)}
    Path(__file__).with_name("nannyml_cbpe.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
