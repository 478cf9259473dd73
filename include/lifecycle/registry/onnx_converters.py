"""Registers the converters that skl2onnx lacks or gets wrong: boosted trees, LightGBM, target encoding."""

from __future__ import annotations

from functools import lru_cache

from include.lifecycle.registry.onnx_boosters import convert_booster
from include.lifecycle.registry.onnx_encoders import convert_target_encoder, target_encoder_shapes
from include.lifecycle.registry.onnx_trees import convert_hist_gradient_boosting

_CLASSIFIER = {"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]}


@lru_cache(maxsize=1)
def register_converters() -> None:
    """Make skl2onnx convert every family that is offered; once per process."""
    from lightgbm import LGBMClassifier, LGBMRegressor
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.preprocessing import TargetEncoder

    for model, convert in (
        (HistGradientBoostingClassifier, convert_hist_gradient_boosting),
        (LGBMClassifier, convert_booster),
    ):
        shapes = calculate_linear_classifier_output_shapes
        update_registered_converter(model, _alias(model), shapes, convert, overwrite=True, options=_CLASSIFIER)
    for model, convert in ((HistGradientBoostingRegressor, convert_hist_gradient_boosting), (LGBMRegressor, convert_booster)):
        options = {"split": None}
        shapes = calculate_linear_regressor_output_shapes
        update_registered_converter(model, _alias(model), shapes, convert, overwrite=True, options=options)
    update_registered_converter(
        TargetEncoder, _alias(TargetEncoder), target_encoder_shapes, convert_target_encoder, overwrite=True
    )


def _alias(model: type) -> str:
    return f"ModelOps{model.__name__}"
