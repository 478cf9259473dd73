"""Whatever a client sends, the server says what is wrong with it: never 500, never silence, and the next request is answered."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.serving.invocations import FORMATS
from tests.unit.serving.apps import InProcess
from tests.unit.serving.folders import one_row, request_body

INFER = "/v2/models/flights/infer"
FEW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3))
names = st.sampled_from(["distance", "wind_speed", "carrier", "flight_id", "scheduled_departure", "x"])
tables = st.dictionaries(names, values, max_size=6) | st.lists(st.dictionaries(names, values, max_size=6), max_size=3) | values
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": names | values,
        "shape": values | st.lists(st.integers(-2, 3), max_size=3),
        "datatype": st.sampled_from(["FP64", "BYTES", "BOOL", "INT8"]) | values,
        "data": values | st.lists(plain, max_size=3),
        "parameters": values,
    },
)
splits = st.fixed_dictionaries({}, optional={"columns": values | st.lists(names, max_size=4), "data": values})


@lru_cache(maxsize=1)
def served(folder: Path) -> InProcess:
    return InProcess(folder)


def ask(folder: Path, path: str, body: bytes, **headers: str) -> int:
    answer = asyncio.run(served(folder).ask(path, body, **headers))
    assert answer.status in {200, 400, 413, 415}, (answer.status, body)
    if answer.status != 200:
        assert answer.json()["error"]
    return answer.status


@FEW
@given(body=st.binary(max_size=60), kind=st.sampled_from(["", "text/csv", "application/json", "text/csv; charset=x", "é"]))
@pytest.mark.parametrize("path", [INFER, "/invocations"])
def test_bytes(onnx_folder: tuple[Path, str], path: str, body: bytes, kind: str) -> None:
    ask(onnx_folder[0], path, body, content_type=kind)


@FEW
@given(inputs=st.lists(tensors, max_size=4), more=st.dictionaries(st.sampled_from(["id", "outputs", "parameters"]), values))
def test_tensors(onnx_folder: tuple[Path, str], inputs: list[Any], more: dict[str, Any]) -> None:
    ask(onnx_folder[0], INFER, json.dumps({"inputs": inputs, **more}).encode())


@FEW
@given(change=tensors, place=st.integers(0, 2), repeat=st.integers(1, 2))
def test_a_good_request_with_one_tensor_changed(
    onnx_folder: tuple[Path, str], change: dict[str, Any], place: int, repeat: int
) -> None:
    body = request_body({name: row * repeat for name, row in one_row().items()})
    body["inputs"][place] |= change
    ask(onnx_folder[0], INFER, json.dumps(body).encode())
    assert ask(onnx_folder[0], INFER, json.dumps(request_body(one_row())).encode()) == 200


@FEW
@given(content=st.dictionaries(st.sampled_from([*FORMATS, "params"]), tables | splits, max_size=2))
def test_tables(onnx_folder: tuple[Path, str], content: dict[str, Any]) -> None:
    ask(onnx_folder[0], "/invocations", json.dumps(content).encode(), content_type="application/json")


@FEW
@given(text=st.text(alphabet='ab1.,"\n\r ;-_e\0', max_size=40))
def test_csv(onnx_folder: tuple[Path, str], text: str) -> None:
    ask(onnx_folder[0], "/invocations", f"distance,wind_speed,carrier\n{text}".encode(), content_type="text/csv")


@pytest.mark.parametrize("place", ["shape", "datatype", "data", "parameters", "outputs"])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")], ids=["arrays", "objects"])
def test_what_is_nested_deeper_than_python_can_write(onnx_folder: tuple[Path, str], place: str, opens: str, closes: str) -> None:
    body = request_body(one_row())
    (body if place == "outputs" else body["inputs"][0])[place] = "HERE"
    deep = opens * 1000 + "1" + closes * 1000
    roomy = InProcess(onnx_folder[0], max_body=65536)
    answer = asyncio.run(roomy.ask(INFER, json.dumps(body).replace('"HERE"', deep).encode()))
    assert (answer.status, len(answer.json()["error"]) < 200) == (400, True)
    assert roomy.sample("model_errors_total") == 0


@pytest.mark.parametrize("shape", [[1] * 1000, [10**18] * 2, [-(10**18)]])
def test_a_refusal_is_short_however_long_the_shape(onnx_folder: tuple[Path, str], shape: list[int]) -> None:
    body = request_body(one_row())
    body["inputs"][0]["shape"] = shape
    answer = asyncio.run(served(onnx_folder[0]).ask(INFER, json.dumps(body).encode()))
    assert answer.status == 400
    assert len(answer.json()["error"]) < 250
