"""An ONNX converter for HistGradientBoosting (numeric splits): regressor, two classes, many classes.

skl2onnx 1.20 writes numpy values into node attributes, which onnx refuses; onnx_converters.py registers this one in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.registry.onnx_nodes import add_constant, add_label, add_node, joined

_ML = "ai.onnx.ml"


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


def tree_attributes(trees: Sequence[NDArray[Any]], baseline: Sequence[float]) -> dict[str, Any]:
    """Attributes of one TreeEnsembleRegressor that sums these trees (scikit-learn's node arrays) and the baseline: raw scores.

    `baseline` has one number per output; tree i adds to output i modulo their number (scikit-learn's order within an iteration).
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
        "target_ids": (tree_ids[leaf] % len(baseline)).tolist(),
        "target_weights": nodes["value"][leaf].tolist(),
        "base_values": [float(value) for value in baseline],
        "n_targets": len(baseline),
        "post_transform": "NONE",
    }


def convert_hist_gradient_boosting(scope: Any, operator: Any, container: Any) -> None:
    """skl2onnx's converter interface. Raw scores by the trees; then the value itself (regression, squared error), the logistic
    function (two classes) or softmax (more), and the label of the largest probability.

    Raises NotImplementedError for a regression whose loss does not give the value itself.
    """
    model = operator.raw_operator
    trees = [predictor.nodes for predictors in model._predictors for predictor in predictors]
    attributes = tree_attributes(trees, [float(value) for value in np.ravel(model._baseline_prediction)])
    features = joined(scope, operator, container)
    if not hasattr(model, "classes_"):
        if model.loss not in ("squared_error", "absolute_error", "quantile"):
            raise NotImplementedError(f"loss {model.loss!r} of HistGradientBoostingRegressor has no ONNX form here")
        target = operator.outputs[0].full_name
        add_node(scope, container, "TreeEnsembleRegressor", features, target, domain=_ML, version=3, **attributes)
        return
    raw = add_node(scope, container, "TreeEnsembleRegressor", features, domain=_ML, version=3, **attributes)
    label, probabilities = (output.full_name for output in operator.outputs)
    _add_probabilities(scope, container, raw, probabilities, len(model.classes_))
    add_label(scope, container, probabilities, label, model.classes_)


def _add_probabilities(scope: Any, container: Any, raw: str, probabilities: str, classes: int) -> None:
    if classes > 2:
        add_node(scope, container, "Softmax", raw, probabilities, axis=1)
        return
    positive = add_node(scope, container, "Sigmoid", raw)
    one = add_constant(scope, container, np.ones(1, dtype=np.float32))
    negative = add_node(scope, container, "Sub", [one, positive], version=14)
    add_node(scope, container, "Concat", [negative, positive], probabilities, axis=1)
