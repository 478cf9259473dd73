"""The model server against MLflow's scoring protocol, asked by MLflow's own client.

Source: MLflow 3, mlflow.pyfunc.scoring_server (`/ping`, `/health`, `/invocations`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

from tests.unit.serving.folders import build_folder, training_table
from tests.unit.serving.running import RunningServer, running_server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    root = tmp_path_factory.mktemp("mlflow")
    with running_server(root / "3", build_folder(root / "3"), root / "log") as running:
        yield running


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return training_table()[0].head(7)


@pytest.fixture(scope="module")
def expected(server: RunningServer, rows: pd.DataFrame) -> Any:
    """What the other protocol answers for these rows."""
    return server.infer({name: rows[name].tolist() for name in rows}).json()["outputs"][0]["data"]


def invoke(server: RunningServer, content: Any, path: str = "/invocations", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = server.client.post(path, json=content, headers=named)
    assert response.status_code == 200, response.text
    return response.json()


def test_mlflow_s_own_client_is_served(server: RunningServer, rows: pd.DataFrame, expected: Any) -> None:
    client = ScoringServerClient("127.0.0.1", server.client.base_url.port)
    client.wait_server_ready(timeout=5)
    found = client.invoke(rows).get_predictions()
    assert found[0].tolist() == expected


@pytest.mark.parametrize("path", ["/invocations", "/v2/models/flights/invocations", "/v2/models/flights/versions/3/invocations"])
def test_every_format(server: RunningServer, rows: pd.DataFrame, expected: Any, path: str) -> None:
    bodies = [
        {"dataframe_split": rows.to_dict(orient="split")},
        {"dataframe_records": rows.to_dict(orient="records")},
        {"instances": rows.to_dict(orient="records")},
        {"inputs": rows.to_dict(orient="list")},
    ]
    assert [invoke(server, body, path) for body in bodies] == [{"predictions": expected}] * 4


def test_csv(server: RunningServer, rows: pd.DataFrame, expected: Any) -> None:
    text = rows.to_csv(index=False).encode()
    response = server.client.post("/invocations", content=text, headers={"content-type": "text/csv"})
    assert response.json() == {"predictions": expected}


@pytest.mark.parametrize("path", ["/ping", "/health"])
def test_health(server: RunningServer, path: str) -> None:
    assert server.client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b'{"rows": []}', "application/json", 400, "BAD_REQUEST"),
        (b"{", "application/json", 400, "BAD_REQUEST"),
        (b"<a/>", "application/xml", 415, "BAD_REQUEST"),
    ],
)
def test_errors_have_mlflow_s_shape(server: RunningServer, content: bytes, kind: str, status: int, code: str) -> None:
    response = server.client.post("/invocations", content=content, headers={"content-type": kind})
    told = response.json()
    assert (response.status_code, told["error_code"]) == (status, code)
    assert told["message"] == told["error"]
    assert response.headers["x-model-version"] == "3"


def test_they_are_logged_and_counted_like_any_other(server: RunningServer, rows: pd.DataFrame) -> None:
    before = server.metric('model_predictions_total{model="flights",version="3"}')
    invoke(server, {"dataframe_records": rows.to_dict(orient="records")}, x_request_id="by-mlflow")
    assert server.metric('model_predictions_total{model="flights",version="3"}') == before + len(rows)
