"""The model server against the Open Inference Protocol v2 (HTTP/REST): paths, required fields, datatypes, the error object.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md and open_inference_rest.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from tests.contract.open_inference_schemas import (
    DATATYPES,
    ERROR,
    INFERENCE_RESPONSE,
    MODEL_METADATA,
    MODEL_READY,
    SERVER_METADATA,
    Schema,
)
from tests.unit.serving.folders import build_folder, one_row, request_body
from tests.unit.serving.running import RunningServer, running_server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    root = tmp_path_factory.mktemp("protocol")
    digest = build_folder(root / "3")
    with running_server(root / "3", digest, root / "log", "--max-rows", "50") as running:
        yield running


@pytest.fixture(params=["", "/versions/3"])
def model_path(request: pytest.FixtureRequest) -> str:
    return f"/v2/models/flights{request.param}"


def fits(response: httpx.Response, schema: Schema, status: int = 200) -> Any:
    """The body, which is JSON, has this status and fits the schema."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    jsonschema.validate(content := response.json(), schema)
    return content


def is_error(response: httpx.Response, status: int) -> str:
    """The protocol's error object: a failing request answers `{"error": <string>}` as JSON."""
    return str(fits(response, ERROR, status)["error"])


def test_server_live_and_ready(server: RunningServer) -> None:
    assert server.client.get("/v2/health/live").status_code == 200
    assert server.client.get("/v2/health/ready").status_code == 200


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_server_metadata(server: RunningServer, path: str) -> None:
    fits(server.client.get(path), SERVER_METADATA)


def test_model_ready(server: RunningServer, model_path: str) -> None:
    assert fits(server.client.get(f"{model_path}/ready"), MODEL_READY) == {"name": "flights", "ready": True}


def test_model_metadata(server: RunningServer, model_path: str) -> None:
    content = fits(server.client.get(model_path), MODEL_METADATA)
    assert (content["name"], content["versions"], content["platform"]) == ("flights", ["3"], "onnx_onnxv1")
    assert [tensor["name"] for tensor in content["inputs"]] == ["distance", "wind_speed", "carrier"]
    assert [tensor["name"] for tensor in content["outputs"]] == ["prediction"]


def test_inference(server: RunningServer, model_path: str) -> None:
    rows = {name: values * 3 for name, values in one_row().items()}
    content = fits(server.client.post(f"{model_path}/infer", json=request_body(rows, id="mine")), INFERENCE_RESPONSE)
    assert (content["model_name"], content["model_version"], content["id"]) == ("flights", "3", "mine")
    (tensor,) = content["outputs"]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("prediction", "FP64", [3])
    assert len(tensor["data"]) == 3
    assert all(0 < value < 1 for value in tensor["data"])


def test_an_output_may_be_asked_for(server: RunningServer, model_path: str) -> None:
    body = request_body(one_row(), outputs=[{"name": "prediction"}], parameters={"anything": 1})
    assert server.client.post(f"{model_path}/infer", json=body).status_code == 200


def test_metadata_inputs_are_what_inference_takes(server: RunningServer, model_path: str) -> None:
    inputs: list[dict[str, Any]] = [
        {**tensor, "shape": [2], "data": ["AA", "UA"] if tensor["datatype"] == "BYTES" else [1.5, 2.5]}
        for tensor in server.client.get(model_path).json()["inputs"]
    ]
    assert server.client.post(f"{model_path}/infer", json={"inputs": inputs}).status_code == 200


def test_parameters_hold_plain_values_only(server: RunningServer) -> None:
    content = fits(server.infer(one_row(carrier="ZZ")), INFERENCE_RESPONSE)
    assert content["parameters"] == {"unknown_categories": "carrier"}


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/v2/models/other", "model 'other' is not served here; allowed: 'flights'"),
        ("/v2/models/other/infer", "model 'other'"),
        ("/v2/models/flights/versions/7", "version '7' of flights is not served here; allowed: '3'"),
        ("/v2/models/flights/versions/7/infer", "version '7'"),
        ("/v2/models/flights/explain", "no such path"),
        ("/", "no such path: /"),
    ],
)
def test_what_is_not_served_is_404(server: RunningServer, path: str, named: str) -> None:
    assert named in is_error(server.client.get(path), 404)
    assert named in is_error(server.client.post(path, json=request_body(one_row())), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/v2/models/flights/infer", "POST"), ("DELETE", "/v2", "GET"), ("POST", "/metrics", "GET")],
)
def test_a_wrong_method_is_405(server: RunningServer, method: str, path: str, allowed: str) -> None:
    response = server.client.request(method, path)
    assert f"allowed: {allowed}" in is_error(response, 405)
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("columns", "status", "named"),
    [
        (one_row(distance="far"), 400, "input 'distance', row 0: 'far' is a string"),
        ({"distance": [1.0], "wind_speed": [1.0]}, 400, "missing input 'carrier'"),
        (one_row(colour="red"), 400, "unknown input 'colour'"),
        (one_row(wind_speed=[1.0]), 400, "input 'wind_speed', row 0"),
        ({name: values * 51 for name, values in one_row().items()}, 413, "the limit is 50 rows"),
    ],
)
def test_a_wrong_request_names_the_field(server: RunningServer, columns: dict[str, list[Any]], status: int, named: str) -> None:
    assert named in is_error(server.infer(columns), status)


def test_malformed_json_is_400(server: RunningServer, model_path: str) -> None:
    response = server.client.post(f"{model_path}/infer", content=b'{"inputs": [')
    assert "the request body is no JSON" in is_error(response, 400)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [(datatype, True if datatype == "BOOL" else 1) for datatype in DATATYPES if datatype != "BYTES"],
)
def test_every_numeric_datatype_is_taken(server: RunningServer, datatype: str, value: Any) -> None:
    body = request_body(one_row(distance=1))
    body["inputs"][0] |= {"datatype": datatype, "data": [value]}
    assert body["inputs"][0]["name"] == "distance"
    found = fits(server.client.post("/v2/models/flights/infer", json=body), INFERENCE_RESPONSE)
    assert found["outputs"] == server.infer(one_row(distance=1.0)).json()["outputs"]


@pytest.mark.parametrize(
    ("datatype", "value", "named"),
    [
        ("UINT8", 256, "256 is no UINT8; allowed: whole numbers 0 to 255"),
        ("INT8", -129, "-129 is no INT8"),
        ("INT64", 1.5, "1.5 is no INT64"),
        ("UINT64", -1, "-1 is no UINT64"),
        ("BOOL", 1, "1 is a number; allowed: a boolean or null"),
        ("FP32", True, "True is a boolean"),
        ("COMPLEX", 1, "has datatype 'COMPLEX'; allowed: BOOL"),
    ],
)
def test_a_value_outside_its_datatype_is_400(server: RunningServer, datatype: str, value: Any, named: str) -> None:
    body = request_body(one_row())
    body["inputs"][0] |= {"datatype": datatype, "data": [value]}
    assert named in is_error(server.client.post("/v2/models/flights/infer", json=body), 400)


@pytest.mark.parametrize("parameters", [3, [], {"a": {}}, {"a": None}])
def test_parameters_that_are_no_object_of_plain_values_are_400(server: RunningServer, parameters: Any) -> None:
    body = request_body(one_row(), parameters=parameters)
    assert "the request: parameters is" in is_error(server.client.post("/v2/models/flights/infer", json=body), 400)
    body = request_body(one_row())
    body["inputs"][0]["parameters"] = parameters
    assert "input 'distance': parameters is" in is_error(server.client.post("/v2/models/flights/infer", json=body), 400)


def test_a_batch_is_answered_row_by_row_as_single_requests_are(server: RunningServer) -> None:
    rows = [one_row(distance=800.0 + step, carrier="AA" if step % 2 else "UA") for step in range(20)]
    together = {name: [row[name][0] for row in rows] for name in rows[0]}
    batch = fits(server.infer(together), INFERENCE_RESPONSE)["outputs"][0]["data"]
    assert batch == [server.infer(row).json()["outputs"][0]["data"][0] for row in rows]


def test_head_answers_as_get_without_a_body(server: RunningServer) -> None:
    response = server.client.head("/v2/health/ready")
    assert (response.status_code, response.content) == (200, b"")
