"""An ONNX converter for HistGradientBoostingClassifier (binary, numeric splits), registered with skl2onnx in place of its own.

skl2onnx 1.20 writes numpy values into node attributes, which onnx refuses; onnx_export.py calls `register_trees` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ML = "ai.onnx.ml"
_ALIAS = "ModelOpsHistGradientBoostingClassifier"


def register_trees() -> None:
    """Make skl2onnx convert HistGradientBoostingClassifier by this module; harmless when called again."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
    from sklearn.ensemble import HistGradientBoostingClassifier

    update_registered_converter(
        HistGradientBoostingClassifier,
        _ALIAS,
        calculate_linear_classifier_output_shapes,
        convert_hist_gradient_boosting,
        overwrite=True,
        options={"zipmap": [True, False], "nocl": [True, False], "output_class_labels": [False, True]},
    )


def float32_thresholds(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round split points (n,) to float32 so that `float32(x) <= rounded` says what `x <= threshold` said.

    To the nearest, so that a value equal to its threshold stays equal; exact halves down, since a midpoint of two neighbouring
    float32 values must stay below the upper one. What remains: a float64 value above its threshold by less than half a unit in
    the last place of float32.
    """
    nearest = thresholds.astype(np.float32)
    below = np.where(nearest.astype(np.float64) > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    above = np.nextafter(below, np.float32(np.inf))
    half = (below.astype(np.float64) + above.astype(np.float64)) / 2 == thresholds
    return np.where(half, below, nearest).astype(np.float32)


def tree_attributes(trees: Sequence[NDArray[Any]], baseline: float) -> dict[str, Any]:
    """Attributes of one TreeEnsembleRegressor that sums these trees (scikit-learn's node arrays) and the baseline: raw scores.

    Raises NotImplementedError for categorical splits, which compare by bit set.
    """
    nodes = np.concatenate(trees)
    if nodes["is_categorical"].any():
        raise NotImplementedError("categorical splits of HistGradientBoosting have no ONNX form here; encode the columns instead")
    sizes = [len(tree) for tree in trees]
    tree_ids, node_ids = np.repeat(np.arange(len(trees)), sizes), np.concatenate([np.arange(size) for size in sizes])
    leaf = nodes["is_leaf"].astype(bool)
    branch = {
        "nodes_featureids": np.where(leaf, 0, nodes["feature_idx"]),
        "nodes_truenodeids": np.where(leaf, 0, nodes["left"]),
        "nodes_falsenodeids": np.where(leaf, 0, nodes["right"]),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, nodes["missing_go_to_left"]),
    }
    attributes: dict[str, Any] = {name: [int(value) for value in values] for name, values in branch.items()}
    thresholds = float32_thresholds(np.where(leaf, 0.0, nodes["num_threshold"]))
    return attributes | {
        "nodes_treeids": tree_ids.tolist(),
        "nodes_nodeids": node_ids.tolist(),
        "nodes_modes": ["LEAF" if is_leaf else "BRANCH_LEQ" for is_leaf in leaf],
        "nodes_values": thresholds.tolist(),
        "target_treeids": tree_ids[leaf].tolist(),
        "target_nodeids": node_ids[leaf].tolist(),
        "target_ids": [0] * int(leaf.sum()),
        "target_weights": nodes["value"][leaf].tolist(),
        "base_values": [baseline],
        "n_targets": 1,
        "post_transform": "NONE",
    }


def convert_hist_gradient_boosting(scope: Any, operator: Any, container: Any) -> None:
    """skl2onnx's converter interface: raw score by the trees, probability by the logistic function, label by the larger one.

    Raises NotImplementedError for more than two classes.
    """
    model = operator.raw_operator
    if model.n_trees_per_iteration_ != 1:
        raise NotImplementedError(f"only two classes convert; this model has {len(model.classes_)}")
    trees = [predictors[0].nodes for predictors in model._predictors]
    attributes = tree_attributes(trees, float(np.ravel(model._baseline_prediction)[0]))
    name = scope.get_unique_variable_name
    raw, positive, negative = name("raw_score"), name("positive"), name("negative")
    features = _single_input(scope, operator, container)
    container.add_node("TreeEnsembleRegressor", features, raw, op_domain=_ML, op_version=3, name=name("trees"), **attributes)
    container.add_node("Sigmoid", raw, positive, op_version=13, name=name("logistic"))
    one = _constant(scope, container, "one", np.ones(1, dtype=np.float32))
    container.add_node("Sub", [one, positive], negative, op_version=14, name=name("complement"))
    label, probabilities = (output.full_name for output in operator.outputs)
    container.add_node("Concat", [negative, positive], probabilities, op_version=13, name=name("both"), axis=1)
    _add_label(scope, container, probabilities, label, model.classes_)


def _single_input(scope: Any, operator: Any, container: Any) -> str:
    """The feature matrix as float32; several inputs are joined first."""
    from onnx import TensorProto

    names = list(operator.input_full_names)
    joined = scope.get_unique_variable_name("features")
    container.add_node("Concat", names, joined, op_version=13, name=scope.get_unique_operator_name("Concat"), axis=1)
    cast = scope.get_unique_variable_name("features32")
    container.add_node(
        "Cast", joined, cast, op_version=13, name=scope.get_unique_operator_name("Cast"), to=int(TensorProto.FLOAT)
    )
    return str(cast)


def _constant(scope: Any, container: Any, name: str, values: NDArray[Any]) -> str:
    from onnx import TensorProto

    unique = scope.get_unique_variable_name(name)
    kind = (
        TensorProto.FLOAT if values.dtype == np.float32 else TensorProto.STRING if values.dtype == object else TensorProto.INT64
    )
    container.add_initializer(unique, kind, list(values.shape), values.tolist())
    return str(unique)


def _add_label(scope: Any, container: Any, probabilities: str, label: str, classes: NDArray[Any]) -> None:
    """The class of the larger probability: whole numbers as int64, anything else as text."""
    numbers = np.issubdtype(classes.dtype, np.integer) or classes.dtype == bool
    known = _constant(scope, container, "classes", classes.astype(np.int64) if numbers else classes.astype(str).astype(object))
    best = scope.get_unique_variable_name("best")
    container.add_node(
        "ArgMax", probabilities, best, op_version=13, name=scope.get_unique_operator_name("ArgMax"), axis=1, keepdims=0
    )
    container.add_node("Gather", [known, best], label, op_version=13, name=scope.get_unique_operator_name("Gather"), axis=0)
