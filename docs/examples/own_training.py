"""An own training function: gradient boosting whose probabilities are calibrated on later rows than it was fitted on.

Copy it to `include/training/<model>.py` and say `training: {entry_point: include.training.<model>:train}`. The rows come oldest
first, so the last fifth is the newest; the hold-out that evaluation judges by is never among them.
"""

from __future__ import annotations

from include.lifecycle.training.entry_point import TrainedBundle, TrainingInput

PARAMS = {"max_iter": 60, "learning_rate": 0.1, "max_leaf_nodes": 15}


def train(inputs: TrainingInput) -> TrainedBundle:
    """Fit on the first four fifths, calibrate on the last, and say what was done."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.frozen import FrozenEstimator
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OrdinalEncoder

    table, labels = inputs.table(), inputs.labels()
    cut = len(table) * 4 // 5
    categories = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer(
        [("numeric", "passthrough", inputs.spec.features.numeric), ("categorical", categories, inputs.spec.features.categorical)]
    )
    params = PARAMS | {name: value for name, value in (inputs.champion or {}).items() if name in PARAMS}
    boosting = HistGradientBoostingClassifier(early_stopping=False, random_state=inputs.seed, **params)
    pipeline = Pipeline([("prepare", columns), ("model", boosting)]).fit(table.iloc[:cut], labels[:cut])
    calibrated = CalibratedClassifierCV(FrozenEstimator(pipeline), method="sigmoid").fit(table.iloc[cut:], labels[cut:])
    return TrainedBundle(calibrated, "calibrated_boosting", params, {"calibration_rows": float(len(table) - cut)})
