"""An 8-bit copy of a version's ONNX file, kept only when it is smaller and predicts as well within the model's stated losses.

Dynamic quantisation (ONNX Runtime's `quantize_dynamic`) turns weights of matrix products into integers. Trees and linear models
hold hardly any such weights: their file grows, and the copy is refused.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.metrics import objective_metric, task_metrics
from include.lifecycle.registry.onnx_export import spread_rows
from include.lifecycle.registry.scoring import score
from include.lifecycle.spec import ModelSpec, QuantiseSection
from include.lifecycle.training.pipelines import labels_of
from include.serving.engines import load_engine
from include.serving.transformer import TRANSFORMER_FILE
from include.serving.version_folder import MODEL_FILES, ServingSpec

if TYPE_CHECKING:
    import pandas as pd

_CALIBRATION = ("brier_score", "log_loss")  # the first that the task has


@dataclass(frozen=True)
class Losses:
    """What the 8-bit copy costs against the original, and what it saves.

    `metric_loss` in the metric's units (positive is worse), `calibration_loss` a rise of the Brier score (log loss where there
    is none, 0 in regression), `largest_difference` of one probability (regression: in standard deviations of the predictions),
    `size_gain` the fraction of bytes saved, `rows` how many rows were compared.
    """

    metric_loss: float
    calibration_loss: float
    largest_difference: float
    size_gain: float
    rows: int


@dataclass(frozen=True)
class Quantised:
    """Whether the copy is offered, why not (or how much it saves), and the measured losses (None: not tried)."""

    accepted: bool
    reason: str
    losses: Losses | None

    @property
    def plain(self) -> dict[str, Any]:
        """JSON-plain form."""
        return {"accepted": self.accepted, "reason": self.reason, "losses": asdict(self.losses) if self.losses else None}


def quantise(spec: ModelSpec, serving: ServingSpec, original: Path, holdout: pd.DataFrame, target: Path) -> Quantised:
    """Write the 8-bit copy of `original` (model.onnx) to `target` if the model's section `export.quantise` accepts it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _quantise_file(original, target)
    rows = holdout.iloc[spread_rows(len(holdout), spec.export.quantise.rows)]
    before, after = (_scored(file, original.parent, serving, rows) for file in (original, target))
    losses = measure_losses(spec, rows, before, after, _saved(original, target))
    refusal = refused(spec.export.quantise, losses)
    if refusal is not None:
        target.unlink()
        return Quantised(False, refusal, losses)
    return Quantised(True, f"saves {losses.size_gain:.0%} of {original.stat().st_size} bytes", losses)


def measure_losses(
    spec: ModelSpec, rows: pd.DataFrame, before: NDArray[np.float64], after: NDArray[np.float64], size_gain: float
) -> Losses:
    """Compare two sets of predictions (n,) or (n, k) of the same labelled rows."""
    metric, labels = objective_metric(spec), labels_of(spec, rows).astype(np.float64)
    sign = 1 if metric.greater_is_better else -1
    calibration, scale = 0.0, 1.0
    if spec.objective.task == "regression":
        scale = float(np.std(before)) or 1.0
    else:
        old, new = (task_metrics(spec, labels, one) for one in (before, after))
        name = next(name for name in _CALIBRATION if name in old)
        calibration = new[name] - old[name]
    return Losses(
        metric_loss=sign * (metric.score(labels, before) - metric.score(labels, after)),
        calibration_loss=calibration,
        largest_difference=float(np.max(np.abs(before - after), initial=0.0)) / scale,
        size_gain=size_gain,
        rows=len(rows),
    )


def refused(limits: QuantiseSection, losses: Losses) -> str | None:
    """Why the copy is not offered, or None. A loss that is no number (one class only) is refused like one that is too large."""
    if losses.size_gain < limits.size_gain:
        saved = f"saves {losses.size_gain:.1%}" if losses.size_gain > 0 else f"grows by {-losses.size_gain:.1%}"
        return f"no gain: the file {saved}; export.quantise.size_gain is {limits.size_gain:.0%}"
    for name in ("metric_loss", "calibration_loss", "largest_difference"):
        found, allowed = getattr(losses, name), getattr(limits, name)
        if not found <= allowed:
            return f"{name} is {found:.4g} on {losses.rows} rows; export.quantise.{name} allows {allowed:g}"
    return None


def _quantise_file(original: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quiet, before = logging.getLogger(), logging.getLogger().level
    quiet.setLevel(logging.ERROR)  # it warns of missing pre-processing through the root logger at each call
    try:
        quantize_dynamic(original, target, weight_type=QuantType.QInt8)
    finally:
        quiet.setLevel(before)


def _scored(file: Path, folder: Path, serving: ServingSpec, rows: pd.DataFrame) -> NDArray[np.float64]:
    """What the serving engine answers with this file in place of the one in the served `folder`."""
    with TemporaryDirectory(prefix="modelops-quantise-") as name:
        if (code := folder / TRANSFORMER_FILE).is_file():
            shutil.copyfile(code, Path(name) / TRANSFORMER_FILE)
        shutil.copyfile(file, Path(name) / MODEL_FILES["onnx"])
        return score(load_engine(Path(name), serving), serving, rows)


def _saved(original: Path, target: Path) -> float:
    return 1 - target.stat().st_size / original.stat().st_size
