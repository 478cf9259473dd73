"""An ONNX converter for LightGBM: onnxmltools' own, with its thresholds rounded so that float32 takes the same branches."""

from __future__ import annotations

from typing import Any

import numpy as np

from include.lifecycle.registry.onnx_trees import float32_thresholds


def convert_booster(scope: Any, operator: Any, container: Any) -> None:
    """skl2onnx's converter interface for LGBMClassifier and LGBMRegressor; onnxmltools rounds thresholds to the nearest."""
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    convert_lightgbm(scope, operator, _Rounding(container))


class _Rounding:
    """A container that rounds the thresholds of tree nodes on their way in, and is the wrapped one in all else."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, kind: str, inputs: Any, outputs: Any, **attributes: Any) -> Any:
        """Add a node as the container would; only `BRANCH_LEQ` nodes have thresholds to round."""
        if "nodes_values" in attributes and not {"BRANCH_LEQ", "LEAF"}.issuperset(attributes["nodes_modes"]):
            raise NotImplementedError("categorical splits of LightGBM have no ONNX form here; encode the columns instead")
        if "nodes_values" in attributes:
            thresholds = float32_thresholds(np.array(attributes["nodes_values"], dtype=np.float64))
            attributes["nodes_values"] = [float(value) for value in thresholds]
        return self._container.add_node(kind, inputs, outputs, **attributes)
