"""From rows to a scikit-learn pipeline and to probabilities; one feature table for tuning, fitting, evaluation and export.

Only transformers that skl2onnx converts with equal results are used (tests prove it): numeric columns get the median and, for
linear models, a unit scale; categories are one-hot for linear models and target-encoded for trees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.data.targets import labels_of
from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.spec import FeaturesSection, ModelSpec
from include.serving.version_folder import MISSING_CATEGORY

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

__all__ = ["BUILDABLE", "MISSING", "build_pipeline", "feature_table", "labels_of"]

MISSING = MISSING_CATEGORY  # the category that stands for null; servers put it in themselves
BUILDABLE = ("logistic_regression", "random_forest", "hist_gradient_boosting")


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
        SpecInvalidError: the task or the algorithm cannot be built; the message lists what can.
    """
    from sklearn.pipeline import Pipeline

    if spec.objective.task != "binary_classification":
        raise SpecInvalidError(f"model {spec.name}: objective.task {spec.objective.task!r} cannot be trained yet")
    if algorithm not in BUILDABLE:
        allowed = ", ".join(BUILDABLE)
        raise SpecInvalidError(f"model {spec.name}: estimator {algorithm!r} cannot be trained yet; allowed: {allowed}")
    return Pipeline([("prepare", _columns(spec, algorithm)), ("model", _estimator(spec, algorithm, params))])


def _columns(spec: ModelSpec, algorithm: str) -> ColumnTransformer:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import KFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

    linear = algorithm == "logistic_regression"
    numeric = [("impute", SimpleImputer(strategy="median", keep_empty_features=True))]
    numeric += [("scale", StandardScaler())] if linear else []
    # rows are encoded by rates of other rows (cross-fitting), so that trees do not learn a row's own label
    crossed = KFold(5, shuffle=True, random_state=spec.training.seed)
    # unseen categories: all zeros (one-hot), the overall rate (target encoding)
    categories = OneHotEncoder(handle_unknown="ignore") if linear else TargetEncoder(cv=crossed)
    parts = [("numeric", Pipeline(numeric), spec.features.numeric), ("categorical", categories, spec.features.categorical)]
    return ColumnTransformer([part for part in parts if part[2]])


def _estimator(spec: ModelSpec, algorithm: str, params: dict[str, Any]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    seed = spec.training.seed
    if algorithm == "logistic_regression":
        return LogisticRegression(max_iter=300, random_state=seed, **params)
    if algorithm == "random_forest":
        return RandomForestClassifier(n_jobs=spec.training.threads, random_state=seed, **params)
    return HistGradientBoostingClassifier(early_stopping=False, random_state=seed, **params)
