"""The fitted pipeline as ONNX, if it can be: converted, then compared with scikit-learn on hold-out rows before it may serve.

A pipeline that does not convert, or differs by more than TOLERANCE, is served by scikit-learn instead; the reason is recorded.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.registry.onnx_converters import register_converters
from include.lifecycle.spec import FeaturesSection

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

    from include.lifecycle.registry.scoring import Floats

# Largest difference between scikit-learn (float64) and ONNX (float32): of a probability, or of a regression's value in units of
# the predictions' standard deviation. Rounding alone gives about 1e-6; one row that takes another branch of one tree gives about
# 1e-2 x the learning rate.
TOLERANCE = 1e-4
PARITY_ROWS = 2_000
_OPSET = {"": 17, "ai.onnx.ml": 3}


@dataclass(frozen=True)
class Export:
    """Which engine serves, why not ONNX (empty when it does), and the largest difference seen (None: not compared)."""

    engine: Literal["onnx", "sklearn"]
    reason: str
    difference: float | None


def to_onnx_bytes(pipeline: Pipeline, features: FeaturesSection) -> bytes:
    """Convert: one input per column, float [n, 1] or string [n, 1]; one output, float: `probabilities` [n, classes] of a
    classifier, `variable` [n, 1] of a regression.

    Raises whatever skl2onnx raises for a pipeline that it cannot convert.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.base import is_regressor

    register_converters()
    inputs = [(name, FloatTensorType([None, 1])) for name in features.numeric]
    inputs += [(name, StringTensorType([None, 1])) for name in features.categorical]
    regresses = is_regressor(pipeline)
    options = None if regresses else {id(pipeline.steps[-1][1]): {"zipmap": False}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = to_onnx(pipeline, initial_types=inputs, options=options, target_opset=_OPSET)
    served = [output for output in model.graph.output if output.name == ("variable" if regresses else "probabilities")]
    model.graph.ClearField("output")  # the label is not asked for; ONNX Runtime drops the nodes that only it needed
    model.graph.output.extend(served)
    content: bytes = model.SerializeToString()
    return content


def run_onnx(path: Path, table: pd.DataFrame, features: FeaturesSection) -> NDArray[np.float64]:
    """Predictions of a feature table (see training's `feature_table`) by ONNX Runtime: P(target = 1) (n,) with two classes,
    probabilities (n, k) with more, values (n,) of a regression."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed: dict[str, Any] = {name: table[[name]].to_numpy(dtype=np.float32) for name in features.numeric}
    feed |= {name: table[[name]].to_numpy(dtype=object) for name in features.categorical}
    used = {item.name for item in session.get_inputs()}
    output = session.get_outputs()[0].name
    result = session.run([output], {name: values for name, values in feed.items() if name in used})[0]
    found = np.asarray(result, dtype=np.float64)
    if output == "variable":
        return found.reshape(len(table))
    return found if found.shape[1] > 2 else found[:, 1]


def export_onnx(pipeline: Pipeline, features: FeaturesSection, table: pd.DataFrame, expected: Floats, target: Path) -> Export:
    """Write `target` if the pipeline converts and agrees with `expected`, scikit-learn's answer on `table` (n rows).

    `expected` is (n,), or (n, k) with more than two classes. Never raises for a model that does not fit ONNX: that is the
    fallback's case, with its reason.
    """
    try:
        target.write_bytes(to_onnx_bytes(pipeline, features))
        found = run_onnx(target, table, features)
        difference = difference_of(pipeline, found, expected)
    except Exception as problem:  # noqa: BLE001 - skl2onnx, onnx and onnxruntime share no base class of errors
        target.unlink(missing_ok=True)
        return Export("sklearn", f"does not convert: {type(problem).__name__}: {str(problem).splitlines()[0][:200]}", None)
    if not difference <= TOLERANCE:
        target.unlink()
        return Export("sklearn", f"differs by {difference:.2g} on {len(table)} rows; allowed is {TOLERANCE:g}", difference)
    return Export("onnx", "", difference)


def difference_of(pipeline: Pipeline, found: Floats, expected: Floats) -> float:
    """Largest difference, in probability or (regression) in standard deviations of `expected`; infinite for other shapes."""
    from sklearn.base import is_regressor

    if found.shape != expected.shape:
        return float("inf")
    spread = float(expected.std()) if is_regressor(pipeline) and expected.size else 1.0
    return float(np.max(np.abs(found - expected), initial=0.0)) / (spread or 1.0)


def spread_rows(rows: int, wanted: int) -> NDArray[np.intp]:
    """Positions of at most `wanted` rows spread evenly over `rows`, first and last included."""
    return np.unique(np.linspace(0, rows - 1, min(rows, wanted)).round().astype(np.intp)) if rows else np.empty(0, dtype=np.intp)
