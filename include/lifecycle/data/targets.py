"""The target as numbers: what every task learns from and is judged by. Tuning, fitting, gates and profiles read labels here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

Labels = NDArray[np.int64] | NDArray[np.float64]


def labels_of(spec: ModelSpec, rows: pd.DataFrame) -> Labels:
    """The target (n,): 0/1 (binary) or class numbers in the order of `objective.classes` (multiclass) as int64, or float64.

    Raises DataInvalidError for a class that the YAML does not name.
    """
    target = rows[spec.data.target]
    if spec.objective.task == "regression":
        return target.to_numpy(dtype=np.float64)
    if spec.objective.task == "binary_classification":
        return target.to_numpy(dtype=np.int64)
    numbers = class_numbers(target, spec.objective.classes)
    if (unknown := np.isnan(numbers)).any():
        named = ", ".join(sorted({class_name(value) for value in target[unknown]})[:5])
        allowed = ", ".join(spec.objective.classes)
        raise DataInvalidError(f"model {spec.name}: target {spec.data.target!r} holds {named}; objective.classes are {allowed}")
    return numbers.astype(np.int64)


def class_numbers(values: Any, classes: Sequence[str]) -> NDArray[np.float64]:
    """Any column of class names (n,) as numbers in the order of `classes`; NaN for nulls and other names."""
    import pandas as pd

    number = {name: float(place) for place, name in enumerate(classes)}
    series = pd.Series(values, dtype=object)
    codes, found = pd.factorize(series, use_na_sentinel=True)
    known = np.array([*(number.get(class_name(value), np.nan) for value in found), np.nan])
    return known[codes]


def class_name(value: Any) -> str:
    """A class as `objective.classes` writes it: text without outer blanks, whole floats without `.0`."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def label_prior(spec: ModelSpec, rows: pd.DataFrame) -> list[float]:
    """What the training labels say of any row: [rate] (binary), [mean] (regression) or each class's share (multiclass)."""
    labels = labels_of(spec, rows)
    if spec.objective.task != "multiclass_classification":
        return [float(labels.mean())]
    counts = np.bincount(labels.astype(np.int64), minlength=len(spec.objective.classes))
    return [float(share) for share in counts / labels.size]
