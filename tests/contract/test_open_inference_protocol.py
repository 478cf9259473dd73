"""The model server against the Open Inference Protocol v2 (HTTP/REST): paths, required fields, datatypes, the error object.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.unit.serving.folders import build_folder, one_row, request_body
from tests.unit.serving.running import RunningServer, running_server

pytestmark = pytest.mark.integration

DATATYPES = {"BOOL", "BYTES", "FP16", "FP32", "FP64", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    root = tmp_path_factory.mktemp("protocol")
    digest = build_folder(root / "3")
    with running_server(root / "3", digest, root / "log", "--max-rows", "50") as running:
        yield running


@pytest.fixture(params=["", "/versions/3"])
def model_path(request: pytest.FixtureRequest) -> str:
    return f"/v2/models/flights{request.param}"


def is_error(response: httpx.Response, status: int) -> str:
    """The protocol's error object: a failing request answers `{"error": <string>}` as JSON."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    content = response.json()
    assert list(content) == ["error"]
    assert isinstance(content["error"], str)
    return content["error"]


def test_server_live_and_ready(server: RunningServer) -> None:
    assert server.client.get("/v2/health/live").status_code == 200
    assert server.client.get("/v2/health/ready").status_code == 200


def test_server_metadata(server: RunningServer) -> None:
    content = server.client.get("/v2").json()
    assert {"name", "version", "extensions"} == set(content)
    assert isinstance(content["extensions"], list)


def test_model_ready(server: RunningServer, model_path: str) -> None:
    response = server.client.get(f"{model_path}/ready")
    assert response.status_code == 200
    assert response.json() == {"name": "flights", "ready": True}


def test_model_metadata(server: RunningServer, model_path: str) -> None:
    content = server.client.get(model_path).json()
    assert (content["name"], content["versions"], content["platform"]) == ("flights", ["3"], "onnx_onnxv1")
    for tensor in [*content["inputs"], *content["outputs"]]:
        assert set(tensor) == {"name", "datatype", "shape"}
        assert tensor["datatype"] in DATATYPES
        assert all(isinstance(size, int) for size in tensor["shape"])
    assert [tensor["name"] for tensor in content["inputs"]] == ["distance", "wind_speed", "carrier"]
    assert [tensor["name"] for tensor in content["outputs"]] == ["prediction"]


def test_inference(server: RunningServer, model_path: str) -> None:
    rows = {name: values * 3 for name, values in one_row().items()}
    response = server.client.post(f"{model_path}/infer", json=request_body(rows, id="mine"))
    assert response.status_code == 200
    content = response.json()
    assert set(content) == {"model_name", "model_version", "id", "outputs"}
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
    content = server.infer(one_row(carrier="ZZ")).json()
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
