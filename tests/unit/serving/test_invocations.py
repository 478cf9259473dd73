"""MLflow's table formats become the columns that the Open Inference Protocol would have brought; what is wrong is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.serving.invocations import Invocations
from include.serving.outputs import Predicted
from include.serving.protocol import InferenceRequest, RequestSchema
from include.serving.tensor_checks import RequestRefusedError
from tests.unit.serving.folders import request_body, serving_spec

SCHEMA = RequestSchema.of(serving_spec(), max_rows=4)
WIRE = Invocations(SCHEMA)
NAMES = ["distance", "wind_speed", "carrier"]
ROWS: list[list[Any]] = [[1400.0, 8.5, "AA"], [None, 2, None]]
COLUMNS = {name: [row[place] for row in ROWS] for place, name in enumerate(NAMES)}
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]


def parse(body: Any, content_type: str = "application/json") -> InferenceRequest:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WIRE.parse(content, [(b"content-type", content_type.encode())])


def refused(body: Any, status: int = 400, content_type: str = "application/json") -> str:
    with pytest.raises(RequestRefusedError) as caught:
        parse(body, content_type)
    assert caught.value.status == status
    return str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": NAMES, "index": [5, 6], "data": ROWS}},
        {"dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in ROWS]}},
        {"dataframe_records": RECORDS},
        {"instances": RECORDS},
        {"instances": ROWS},
        {"inputs": COLUMNS},
        {"inputs": RECORDS},
        {"inputs": ROWS, "params": {"anything": 1}},
    ],
    ids=[
        "split",
        "split in another order",
        "records",
        "instances",
        "instances by place",
        "inputs",
        "inputs by row",
        "inputs by place",
    ],
)
def test_every_format_gives_the_same_columns(body: Any) -> None:
    assert parse(body).columns == COLUMNS


def test_csv() -> None:
    body = b"\xef\xbb\xbfcarrier,distance,wind_speed,flight_id\r\nAA,1400,8.5,EWR-1\r\n,,2,\r\n\r\n"
    request = parse(body, "text/csv; charset=utf-8")
    assert request.columns == COLUMNS
    assert request.keys == ["EWR-1", None]


def test_a_column_that_some_rows_lack_is_null_there() -> None:
    assert parse({"dataframe_records": [RECORDS[0], {"distance": 1, "wind_speed": 2}]}).columns["carrier"] == ["AA", None]


def test_booleans_of_a_frame_are_numbers() -> None:
    assert parse({"instances": [[True, False, "AA"]]}).columns["distance"] == [1]


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.integers(-100, 100), st.text(max_size=5)), min_size=1, max_size=4))
def test_it_reads_what_the_other_protocol_reads(rows: list[tuple[float, int, str]]) -> None:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(NAMES)}
    there = SCHEMA.parse(json.dumps(request_body(columns)).encode())
    assert parse({"dataframe_split": {"columns": NAMES, "data": rows}}) == there


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([], "the request body is an array; allowed: an object with one of dataframe_split"),
        ({}, "holds nothing; allowed"),
        ({"rows": 1}, "holds 'rows'"),
        ({"inputs": ROWS, "instances": ROWS}, "holds 'inputs', 'instances'"),
        ({"dataframe_split": ROWS}, "allowed: an object with columns (names) and data (rows)"),
        ({"dataframe_split": {"columns": NAMES, "data": [[1, 2]]}}, "row 0: 2 values; allowed: 3 values"),
        ({"dataframe_split": {"columns": NAMES, "data": [3]}}, "row 0: a number"),
        ({"dataframe_split": {"columns": NAMES, "data": []}}, "has no rows"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 1]]}}, "names a column twice"),
        ({"dataframe_records": ROWS}, "dataframe_records holds an array; allowed: objects"),
        ({"dataframe_records": {}}, "allowed: an array of at least one row"),
        ({"instances": [RECORDS[0], ROWS[0]]}, "row 0: an object"),
        ({"inputs": {"distance": 3}}, "column 'distance' is a number"),
        ({"inputs": COLUMNS | {"distance": [1.0]}}, "all must agree"),
        ({"inputs": COLUMNS | {"colour": [1, 2]}}, "unknown input 'colour'"),
        ({"inputs": {"distance": [1]}}, "missing input 'wind_speed', 'carrier'"),
        ({"inputs": COLUMNS | {"distance": ["far", 1]}}, "input 'distance', row 0: 'far' is a string"),
        ({"inputs": COLUMNS | {"carrier": [1, 2]}}, "input 'carrier', row 0: 1 is a number; allowed: a string"),
    ],
)
def test_what_is_wrong_is_named(body: Any, named: str) -> None:
    assert named in refused(body)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"distance,wind_speed,carrier\n", "no rows"),
        (b"distance,wind_speed,carrier\n1,2\n", "row 0: 2 values; allowed: 3"),
        (b"distance,wind_speed,carrier\nfar,2,AA\n", "input 'distance', row 0: 'far' is no number"),
        (b"distance,wind_speed,carrier\ninf,2,AA\n", "input 'distance', row 0"),
        (b"distance,wind_speed,carrier\nnan,2,AA\n", "input 'distance', row 0"),
        (b"distance,wind_speed,carrier\n1_0,2,AA\n", "input 'distance', row 0"),
        (b'distance,wind_speed,carrier\n1,2,"AA', "no CSV"),
        (b"\xff", "no CSV in UTF-8"),
    ],
)
def test_a_wrong_csv_is_named(body: bytes, named: str) -> None:
    assert named in refused(body, content_type="text/csv")


@pytest.mark.parametrize("content_type", ["application/xml", "text/csv; charset=latin-1", "application/json; profile=x"])
def test_another_content_type_is_415(content_type: str) -> None:
    assert "allowed: " in refused({"inputs": ROWS}, 415, content_type)


def test_too_many_rows_are_413() -> None:
    assert "the limit is 4 rows" in refused({"instances": ROWS * 3}, 413)


def test_classes_are_answered_by_name() -> None:
    request = InferenceRequest(2, {})
    found = Predicted([0.0, 1.0], ["red", "blue"], [[0.9, 0.1], [0.2, 0.8]])
    assert json.loads(WIRE.render(request, found, {}, "r")) == {"predictions": ["red", "blue"]}
    assert json.loads(WIRE.render(request, Predicted([0.5, 2.5]), {}, "r")) == {"predictions": [0.5, 2.5]}
