"""What an engine computed, as output tensors of the Open Inference Protocol and as columns of the prediction log.

Binary and regression: `prediction` FP64 [n]. Multiclass: `prediction` BYTES [n], the most probable class by name, and
`probabilities` FP64 [n, classes] in the order of the version's classes; the log's `prediction` is then the class's number.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.serving.version_folder import ServingSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREDICTION, PROBABILITIES = "prediction", "probabilities"
MULTICLASS = "multiclass_classification"


@dataclass(frozen=True)
class Predicted:
    """One answer's rows: what the log calls `prediction`, and for multiclass the class names and probabilities beside it."""

    values: list[float]
    labels: list[str] | None = None
    probabilities: list[list[float]] | None = None


def output_names(spec: ServingSpec) -> tuple[str, ...]:
    """Names of the tensors that a version answers with."""
    return (PREDICTION, PROBABILITIES) if spec.task == MULTICLASS else (PREDICTION,)


def output_metadata(spec: ServingSpec) -> list[dict[str, Any]]:
    """The output tensors as the model's metadata tells them; -1 is the number of rows."""
    if spec.task != MULTICLASS:
        return [{"name": PREDICTION, "datatype": "FP64", "shape": [-1]}]
    probabilities = {"name": PROBABILITIES, "datatype": "FP64", "shape": [-1, len(spec.classes)]}
    return [{"name": PREDICTION, "datatype": "BYTES", "shape": [-1]}, probabilities]


def predicted(spec: ServingSpec, result: NDArray[np.float64]) -> Predicted:
    """Read an engine's result, (n,) or (n, classes). ArithmeticError names the first row that is not finite."""
    if spec.task != MULTICLASS:
        values: list[float] = result.tolist()
        _check_finite(values)
        return Predicted(values)
    best: list[int] = result.argmax(axis=1).tolist()
    _check_finite(result.sum(axis=1).tolist())
    return Predicted([float(place) for place in best], [str(spec.classes[place]) for place in best], result.tolist())


def output_tensors(answer: Predicted, wanted: Collection[str]) -> list[dict[str, Any]]:
    """The wanted output tensors; a matrix is flat in row-major order, as the protocol has it."""
    rows = len(answer.values)
    names = {"name": PREDICTION, "datatype": "FP64", "shape": [rows], "data": answer.values}
    if answer.labels is None or answer.probabilities is None:
        return [names]
    names |= {"datatype": "BYTES", "data": answer.labels}
    flat = [value for row in answer.probabilities for value in row]
    shares = {"name": PROBABILITIES, "datatype": "FP64", "shape": [rows, len(answer.probabilities[0])], "data": flat}
    return [tensor for tensor in (names, shares) if tensor["name"] in wanted]


def _check_finite(values: list[float]) -> None:
    for row, value in enumerate(values):
        if not math.isfinite(value):
            raise ArithmeticError(f"the model gave {value} for row {row}")
