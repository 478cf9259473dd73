"""Dynamic quantisation: a network with real weights shrinks; what it may cost is the YAML's to say, each limit at its edge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from include.lifecycle.registry.quantise import Losses, measure_losses, quantise, refused
from include.serving.version_folder import InputColumn, ServingSpec
from tests.integration.registry_lab import lab_spec

GOOD = Losses(metric_loss=0.001, calibration_loss=0.0005, largest_difference=0.01, size_gain=0.5, rows=100)


def network(folder: Path, width: int = 256, scale: float = 1.0) -> Path:
    """A real ONNX file with the serving signature: one numeric input, two dense layers, `probabilities` (n, 2)."""
    random = np.random.default_rng(0)
    weights = {
        "w1": random.normal(0, scale, (1, width)),
        "w2": random.normal(0, scale / width, (width, width)),
        "w3": random.normal(0, scale / width, (width, 2)),
    }
    held = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    nodes = [
        helper.make_node("MatMul", ["wind", "w1"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w2"], ["c"]),
        helper.make_node("Tanh", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w3"], ["e"]),
        helper.make_node("Softmax", ["e"], ["probabilities"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("wind", TensorProto.FLOAT, [None, 1])]
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])]
    graph = helper.make_graph(nodes, "network", inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def serving() -> ServingSpec:
    return ServingSpec(
        model="m",
        version=1,
        task="binary_classification",
        engine="onnx",
        key="flight_id",
        event_time="departs_at",
        target="late",
        classes=(0, 1),
        inputs=(InputColumn("wind", "numeric"),),
    )


@pytest.fixture
def rows() -> pd.DataFrame:
    random = np.random.default_rng(1)
    return pd.DataFrame({"wind": random.normal(0, 1, 500), "late": random.integers(0, 2, 500).astype("int8")})


def spec_with(**limits: float):
    base = {
        "enabled": True,
        "metric_loss": 1.0,
        "calibration_loss": 1.0,
        "largest_difference": 1.0,
        "size_gain": 0.2,
        "rows": 300,
    }
    return lab_spec("quantised", export={"quantise": base | limits})


def test_a_network_shrinks_and_its_losses_are_measured(tmp_path: Path, serving: ServingSpec, rows: pd.DataFrame) -> None:
    original, target = network(tmp_path), tmp_path / "out" / "model.int8.onnx"
    found = quantise(spec_with(), serving, original, rows, target)
    assert found.accepted, found.reason
    assert found.losses is not None
    assert found.losses.size_gain == pytest.approx(1 - target.stat().st_size / original.stat().st_size)
    assert found.losses.size_gain > 0.6
    assert 0 < found.losses.largest_difference < 0.2
    assert found.losses.rows == 300


def test_a_copy_that_costs_too_much_is_taken_away(tmp_path: Path, serving: ServingSpec, rows: pd.DataFrame) -> None:
    target = tmp_path / "model.int8.onnx"
    found = quantise(spec_with(largest_difference=0.0), serving, network(tmp_path), rows, target)
    assert not found.accepted
    assert "largest_difference is" in found.reason
    assert not target.exists()


@pytest.mark.parametrize("name", ["metric_loss", "calibration_loss", "largest_difference"])
def test_each_limit_at_its_edge(name: str) -> None:
    limits = spec_with(**{name: getattr(GOOD, name)}).export.quantise
    assert refused(limits, GOOD) is None
    assert f"export.quantise.{name} allows" in str(refused(limits, replace(GOOD, **{name: getattr(GOOD, name) + 1e-6})))
    assert refused(limits, replace(GOOD, **{name: float("nan")})) is not None


def test_a_file_that_grows_has_no_gain() -> None:
    limits = spec_with(size_gain=0.0).export.quantise
    assert str(refused(limits, replace(GOOD, size_gain=-0.16))).startswith("no gain: the file grows by 16.0%")
    assert refused(limits, replace(GOOD, size_gain=0.0)) is None
    assert "saves 19.9%" in str(refused(spec_with().export.quantise, replace(GOOD, size_gain=0.199)))


def test_losses_have_their_sign_and_scale(rows: pd.DataFrame) -> None:
    y = rows["late"].to_numpy(float)
    sharp, dull = np.where(y == 1, 0.9, 0.1), np.where(y == 1, 0.6, 0.4)
    worse = measure_losses(spec_with(), rows, sharp, 1 - sharp, 0.5)
    assert worse.metric_loss == pytest.approx(1.0), "an area of 1 became 0"
    assert worse.largest_difference == pytest.approx(0.8)
    assert measure_losses(spec_with(), rows, sharp, dull, 0.5).calibration_loss == pytest.approx(0.16 - 0.01)
    same = measure_losses(spec_with(), rows, sharp, sharp, 0.5)
    assert (same.metric_loss, same.calibration_loss, same.largest_difference) == (0, 0, 0)
