"""From rows to a scikit-learn pipeline and to predictions; one feature table for tuning, fitting, evaluation and export.

Only transformers that convert to ONNX with equal results are used (tests prove it): numeric columns get the median and, for
linear models, a unit scale; categories are one-hot for linear models and target-encoded for trees. estimators.py holds the
families themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.data.targets import labels_of
from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.rules.training import ESTIMATORS_OF
from include.lifecycle.spec import FeaturesSection, ModelSpec
from include.lifecycle.training.estimators import LINEAR, estimator_of
from include.serving.version_folder import MISSING_CATEGORY

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

__all__ = ["MISSING", "build_pipeline", "feature_table", "labels_of", "predictions_of"]

MISSING = MISSING_CATEGORY  # the category that stands for null; servers put it in themselves
_TARGETS: dict[str, Literal["binary", "auto", "continuous"]] = {
    "binary_classification": "binary",
    "multiclass_classification": "auto",  # a fold may hold two of the classes, which "multiclass" cannot encode
    "regression": "continuous",
}


def feature_table(features: FeaturesSection, rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that a pipeline reads, in `features.all` order.

    Numeric: float64 holding float32-rounded values (ONNX computes in float32, so both see equal numbers), null as NaN.
    Categorical: Python strings, null as MISSING.
    """
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in features.numeric:
        columns[name] = rows[name].to_numpy(dtype=np.float64, na_value=np.nan).astype(np.float32).astype(np.float64)
    for name in features.categorical:
        values = rows[name].astype(object)
        texts = [str(value) for value in values.where(values.notna(), MISSING)]
        columns[name] = pd.Series(texts, index=rows.index, dtype=object)
    return pd.DataFrame(columns, index=rows.index, columns=features.all)


def build_pipeline(spec: ModelSpec, algorithm: str, params: dict[str, Any]) -> Pipeline:
    """An unfitted pipeline `prepare` (ColumnTransformer) + `model`, seeded by the spec.

    Raises:
        SpecInvalidError: the algorithm cannot learn the task; the message lists what can.
    """
    from sklearn.pipeline import Pipeline

    if algorithm not in (fitting := ESTIMATORS_OF[spec.objective.task]):
        allowed = ", ".join(sorted(fitting))
        raise SpecInvalidError(f"model {spec.name}: {algorithm!r} cannot learn {spec.objective.task}; allowed: {allowed}")
    return Pipeline([("prepare", _columns(spec, algorithm)), ("model", estimator_of(spec, algorithm, params))])


def _columns(spec: ModelSpec, algorithm: str) -> ColumnTransformer:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import KFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

    linear = algorithm in LINEAR
    numeric = [("impute", SimpleImputer(strategy="median", keep_empty_features=True))]
    numeric += [("scale", StandardScaler())] if linear else []
    # rows are encoded by rates of other rows (cross-fitting), so that trees do not learn a row's own label
    crossed = KFold(5, shuffle=True, random_state=spec.training.seed)
    encoder = TargetEncoder(target_type=_TARGETS[spec.objective.task], cv=crossed)
    # unseen categories: all zeros (one-hot), the overall rate or mean (target encoding)
    categories = OneHotEncoder(handle_unknown="ignore") if linear else encoder
    parts = [("numeric", Pipeline(numeric), spec.features.numeric), ("categorical", categories, spec.features.categorical)]
    return ColumnTransformer([part for part in parts if part[2]])


def predictions_of(spec: ModelSpec, pipeline: Pipeline, table: pd.DataFrame) -> NDArray[np.float64]:
    """What a fitted pipeline says of a feature table: P(target = 1) (n,), values (n,), or probabilities (n, k) by task.

    Multiclass: in the order of `objective.classes`; a class that the pipeline never saw has probability 0.
    """
    if spec.objective.task == "regression":
        return np.asarray(pipeline.predict(table), dtype=np.float64).reshape(len(table))
    found = np.asarray(pipeline.predict_proba(table), dtype=np.float64)
    if spec.objective.task == "binary_classification":
        return found[:, 1]
    whole = np.zeros((len(table), len(spec.objective.classes)))
    whole[:, np.asarray(pipeline.classes_, dtype=np.intp)] = found
    return whole
