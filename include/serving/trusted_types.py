"""The only home of what skops may build from a model file, beyond the types that skops itself trusts.

Each name was read off a fitted pipeline of ours. A new estimator needs its line here first; no file is asked what to trust.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from include.serving.version_folder import VersionFolderInvalidError

TRUSTED_TYPES = (
    "numpy.dtype",
    # target encoding: how its training values were crossed
    "sklearn.model_selection._split.KFold",
    # random forests, decision trees, gradient boosting
    "sklearn.tree._tree.Tree",
    # histogram gradient boosting, with and without categorical features
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "functools.partial",
    "sklearn.utils.validation.check_array",
    # calibrated classifiers
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    # LightGBM
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRegressor",
)


def load_trusted(path: Path) -> Any:
    """Load a `.skops` file; raise VersionFolderInvalidError when it is malformed or holds a type that is not trusted."""
    import skops.io

    try:
        return skops.io.load(path, trusted=list(TRUSTED_TYPES))
    except Exception as problem:
        raise VersionFolderInvalidError(f"{path} does not load: {problem}; trusted types stand in {__name__}") from problem
