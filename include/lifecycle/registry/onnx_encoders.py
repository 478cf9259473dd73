"""An ONNX converter for TargetEncoder of any target type: a column per category column, or one per class and category column.

skl2onnx converts binary and continuous targets only; onnx_converters.py registers this one in its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from include.lifecycle.registry.onnx_nodes import add_constant, add_node

_ML = "ai.onnx.ml"


def target_encoder_shapes(operator: Any) -> None:
    """skl2onnx's shape interface: [n, columns], float."""
    from skl2onnx.common.data_types import FloatTensorType

    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = FloatTensorType([rows, len(operator.raw_operator.encodings_)])


def convert_target_encoder(scope: Any, operator: Any, container: Any) -> None:
    """skl2onnx's converter interface: look each category up; one that training never saw has the target's mean (its class's
    share). Raises NotImplementedError for categories that are no text."""
    model = operator.raw_operator
    if not all(all(isinstance(name, str) for name in names) for names in model.categories_):
        raise NotImplementedError("TargetEncoder converts with categories of text only")
    names = list(operator.input_full_names)
    matrix = add_node(scope, container, "Concat", names, axis=1) if len(names) > 1 else names[0]
    means = np.ravel(model.target_mean_)
    encoded = []
    for place, encoding in enumerate(model.encodings_):
        column, share = divmod(place, len(means))
        which = add_constant(scope, container, np.array([column]))
        texts = add_node(scope, container, "ArrayFeatureExtractor", [matrix, which], domain=_ML, version=1)
        attributes: dict[str, Any] = {
            "keys_strings": [name.encode("utf-8") for name in model.categories_[column]],
            "values_floats": [float(value) for value in encoding],
            "default_float": float(means[share]),
        }
        encoded.append(add_node(scope, container, "LabelEncoder", texts, domain=_ML, version=2, **attributes))
    whole = add_node(scope, container, "Concat", encoded, axis=1)
    shape = add_constant(scope, container, np.array([-1, len(encoded)]))
    add_node(scope, container, "Reshape", [whole, shape], operator.outputs[0].full_name)
