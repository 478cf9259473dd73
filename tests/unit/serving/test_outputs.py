"""Output tensors by task, what a request may ask for, and what the log keeps of a multiclass answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import orjson
import pytest

from include.serving.outputs import output_metadata, output_tensors, predicted
from include.serving.prediction_log import Answer
from include.serving.protocol import RequestSchema
from include.serving.tensor_checks import RequestRefusedError
from include.serving.version_folder import InputColumn, ServingSpec

CLASSES = ("early", "late", "on time")
SHARES = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])


def spec_of(task: str, classes: tuple[str, ...] = ()) -> ServingSpec:
    return ServingSpec("trips", 4, task, "onnx", "trip_id", "starts_at", "late", classes, (InputColumn("wind", "numeric"),))


MULTI = spec_of("multiclass_classification", CLASSES)


def test_multiclass_answers_with_the_class_and_the_probabilities() -> None:
    answer = predicted(MULTI, SHARES)
    prediction, probabilities = output_tensors(answer, ("prediction", "probabilities"))
    assert prediction == {"name": "prediction", "datatype": "BYTES", "shape": [2], "data": ["late", "early"]}
    assert probabilities == {"name": "probabilities", "datatype": "FP64", "shape": [2, 3], "data": SHARES.ravel().tolist()}
    assert [tensor["name"] for tensor in output_metadata(MULTI)] == ["prediction", "probabilities"]
    assert output_metadata(MULTI)[1]["shape"] == [-1, 3]


def test_a_regression_answers_with_its_value() -> None:
    spec = spec_of("regression")
    assert output_tensors(predicted(spec, np.array([1.5, -2.0])), ("prediction",)) == [
        {"name": "prediction", "datatype": "FP64", "shape": [2], "data": [1.5, -2.0]}
    ]
    assert output_metadata(spec) == [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]


@pytest.mark.parametrize("spec", [MULTI, spec_of("regression")])
def test_what_is_not_finite_is_never_answered(spec: ServingSpec) -> None:
    broken = np.array([[0.2, np.nan, 0.3]]) if spec is MULTI else np.array([np.inf])
    with pytest.raises(ArithmeticError, match="for row 0"):
        predicted(spec, broken)


def test_a_request_may_ask_for_one_output_by_name() -> None:
    schema = RequestSchema.of(MULTI, 10)
    body = {"inputs": [{"name": "wind", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    assert schema.parse(orjson.dumps(body)).outputs == ("prediction", "probabilities")
    asked = schema.parse(orjson.dumps(body | {"outputs": [{"name": "probabilities"}]})).outputs
    assert [tensor["name"] for tensor in output_tensors(predicted(MULTI, SHARES), asked)] == ["probabilities"]
    with pytest.raises(RequestRefusedError, match=r"allowed: \[\{'name': 'prediction'\}, \{'name': 'probabilities'\}\]"):
        schema.parse(orjson.dumps(body | {"outputs": [{"name": "label"}]}))


def test_the_log_keeps_number_name_and_probabilities() -> None:
    answer = Answer("r", None, datetime(2020, 1, 1, tzinfo=UTC), 0.1, {"wind": [1.0, None]}, predicted(MULTI, SHARES))
    first, second = (json.loads(line) for line in answer.lines(4).splitlines())
    assert (first["prediction"], first["label"], first["probabilities"]) == (1.0, "late", [0.2, 0.5, 0.3])
    assert (second["prediction"], second["label"], second["features"]) == (0.0, "early", {"wind": None})
    plain = Answer(
        "r", None, datetime(2020, 1, 1, tzinfo=UTC), 0.1, {"wind": [1.0]}, predicted(spec_of("regression"), np.ones(1))
    )
    assert {"label", "probabilities"}.isdisjoint(json.loads(plain.lines(4)))
