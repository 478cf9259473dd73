"""Small pieces of an ONNX graph that the own converters share: named nodes, constants, the joined input, the label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_OPERATORS = 13  # version of the standard operators that are used here


def add_node(
    scope: Any,
    container: Any,
    kind: str,
    inputs: str | list[str],
    output: str | None = None,
    *,
    domain: str = "",
    version: int = _OPERATORS,
    **attributes: Any,
) -> str:
    """Add one node and return the name of its output (a new one unless it is given)."""
    result = output or str(scope.get_unique_variable_name(kind.lower()))
    name = scope.get_unique_operator_name(kind)
    container.add_node(kind, inputs, result, op_domain=domain, op_version=version, name=name, **attributes)
    return result


def add_constant(scope: Any, container: Any, values: NDArray[Any]) -> str:
    """Add an initializer of float32, text (dtype object) or int64 values and return its name."""
    from onnx import TensorProto

    name = str(scope.get_unique_variable_name("constant"))
    texts = TensorProto.STRING if values.dtype == object else TensorProto.INT64
    kind = TensorProto.FLOAT if values.dtype == np.float32 else texts
    container.add_initializer(name, kind, list(values.shape), values.ravel().tolist())
    return name


def joined(scope: Any, operator: Any, container: Any) -> str:
    """The operator's inputs as one float32 matrix."""
    from onnx import TensorProto

    whole = add_node(scope, container, "Concat", list(operator.input_full_names), axis=1)
    return add_node(scope, container, "Cast", whole, to=int(TensorProto.FLOAT))


def add_label(scope: Any, container: Any, probabilities: str, label: str, classes: NDArray[Any]) -> None:
    """The class of the largest probability: whole numbers as int64, anything else as text."""
    numbers = np.issubdtype(classes.dtype, np.integer) or classes.dtype == bool
    known = add_constant(scope, container, classes.astype(np.int64) if numbers else classes.astype(str).astype(object))
    best = add_node(scope, container, "ArgMax", probabilities, axis=1, keepdims=0)
    add_node(scope, container, "Gather", [known, best], label, axis=0)
