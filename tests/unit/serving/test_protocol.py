from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.serving.protocol import RequestSchema
from include.serving.tensor_checks import MAX_TEXT, RequestRefusedError
from tests.unit.serving.folders import one_row, request_body, serving_spec

SCHEMA = RequestSchema.of(serving_spec(), max_rows=4)


def parse(body: Any) -> Any:
    return SCHEMA.parse(json.dumps(body).encode())


def tensor(name: str, data: Any, datatype: str = "FP64", shape: Any = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)] if shape is None else shape, "data": data}


def changed(name: str, **changes: Any) -> dict[str, Any]:
    body = request_body(one_row())
    body["inputs"] = [{**given_, **changes} if given_["name"] == name else given_ for given_ in body["inputs"]]
    return body


def refused(body: Any, status: int = 400) -> str:
    with pytest.raises(RequestRefusedError) as caught:
        parse(body)
    assert caught.value.status == status
    return str(caught.value)


def test_a_good_row() -> None:
    request = parse(request_body(one_row(flight_id="EWR-1", scheduled_departure="2013-08-01T02:00:00-04:00"), id="a"))
    assert (request.rows, request.id, request.keys) == (1, "a", ["EWR-1"])
    assert request.event_times == ["2013-08-01T06:00:00.000000+00:00"]
    assert request.columns == {"distance": [1400.0], "wind_speed": [8.5], "carrier": ["AA"]}


def test_nulls_are_values() -> None:
    body = request_body(one_row(distance=None, carrier=None, flight_id=None, scheduled_departure=None))
    request = parse(body)
    assert request.columns == {"distance": [None], "wind_speed": [8.5], "carrier": [None]}
    assert (request.keys, request.event_times) == ([None], [None])


def test_columns_of_one_may_be_nested_or_flat() -> None:
    assert parse(changed("distance", shape=[1, 1], data=[[7]])).columns["distance"] == [7]
    assert parse(changed("distance", shape=[1, 1], data=[7])).columns["distance"] == [7]


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "UINT8"])
def test_any_number_type_is_a_number(datatype: str) -> None:
    assert parse(changed("distance", datatype=datatype, data=[7])).columns["distance"] == [7]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"datatype": "BYTES"}, "has datatype 'BYTES'; allowed: BOOL, FP16, FP32, FP64"),
        ({"datatype": ["FP64"]}, r"datatype ['FP64']"),
        ({"datatype": None}, "datatype None"),
        ({"data": ["far"]}, "row 0: 'far' is a string; allowed: a number or null"),
        ({"data": [True]}, "row 0: True is a boolean"),
        ({"data": [{}]}, "row 0: {} is an object"),
        ({"data": [1e39]}, "row 0: 1e+39 is too large"),
        ({"data": "x"}, "data is a string; allowed: an array"),
        ({"shape": [2]}, "shape [2] asks for 2 values, data has 1"),
        ({"shape": [1, 2]}, "shape is [1, 2]; allowed: [n] or [n, 1]"),
        ({"shape": [1, 1, 1]}, "shape is [1, 1, 1]"),
        ({"shape": None}, "shape is None"),
        ({"shape": [-1]}, "shape [-1]"),
        ({"shape": [True]}, "shape is [True]"),
        ({"shape": [1, 1], "data": [[1, 2]]}, "row 0: [1, 2] does not fit the shape [n, 1]"),
        ({"shape": [2], "data": [1, 2]}, "all must agree"),
        ({"shape": [0], "data": []}, "has no rows"),
    ],
)
def test_a_wrong_number_column_is_named(changes: dict[str, Any], named: str) -> None:
    message = refused(changed("distance", **changes))
    assert named in message
    assert "distance" in message or "wind_speed" in message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"datatype": "FP64"}, "has datatype 'FP64'; allowed: BYTES"),
        ({"data": [3]}, "row 0: 3 is a number; allowed: a string or null"),
        ({"data": ["x" * (MAX_TEXT + 1)]}, "a string of 1001 characters"),
    ],
)
def test_a_wrong_category_is_named(changes: dict[str, Any], named: str) -> None:
    message = refused(changed("carrier", **changes))
    assert "'carrier'" in message
    assert named in message


@pytest.mark.parametrize("value", ["yesterday", "2013-08-01T06:00:00", "", "0001-01-01T00:00:00+14:00"])
def test_an_event_time_needs_a_timezone(value: str) -> None:
    message = refused(request_body(one_row(scheduled_departure=value)))
    assert "'scheduled_departure', row 0" in message
    assert "ISO 8601 with timezone" in message


def test_missing_unknown_and_double_inputs_are_named() -> None:
    body = request_body(one_row())
    assert "missing input 'distance', 'wind_speed'" in refused({"inputs": [tensor("carrier", ["AA"], "BYTES")]})
    assert "unknown input 'distanse'; allowed: 'distance'" in refused({"inputs": [*body["inputs"], tensor("distanse", [1])]})
    assert "'carrier' is given twice" in refused({"inputs": [*body["inputs"], tensor("carrier", ["AA"], "BYTES")]})


def test_too_many_rows_name_the_limit() -> None:
    body = request_body({name: values * 5 for name, values in one_row().items()})
    assert "has 5 rows; the limit is 4 rows" in refused(body, 413)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([], "the request body is an array"),
        ({}, "inputs is missing or null"),
        ({"inputs": {}}, "inputs is an object"),
        ({"inputs": [3]}, "inputs[0] has no name"),
        ({"inputs": [{"name": 3}]}, "inputs[0] has no name"),
        (request_body(one_row(), id=3), "id is a number"),
        (request_body(one_row(), outputs=[{"name": "label"}]), "allowed: [{'name': 'prediction'}]"),
        (request_body(one_row(), outputs=3), "outputs asks for 3"),
    ],
)
def test_a_wrong_body_is_named(body: Any, named: str) -> None:
    assert named in refused(body)


@pytest.mark.parametrize("body", [b"", b"{", b'{"inputs": NaN}', b"\xff\xfe", b"[" * 100_000])
def test_malformed_json(body: bytes) -> None:
    with pytest.raises(RequestRefusedError, match="the request body is no JSON") as caught:
        SCHEMA.parse(body)
    assert caught.value.status == 400


def test_unknown_categories_are_counted_and_nulls_are_none() -> None:
    rows = {"distance": [1.0] * 4, "wind_speed": [1.0] * 4, "carrier": ["AA", "ZZ", None, "ZZ"]}
    assert SCHEMA.unknown_categories(parse(request_body(rows)).columns) == {"carrier": 2}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["name", "shape", "datatype", "data"]), JSON)
def test_no_content_breaks_the_parser(field: str, value: Any) -> None:
    body = request_body(one_row())
    body["inputs"][0][field] = value
    try:
        request = parse(body)
    except RequestRefusedError as refusal:
        assert refusal.status in (400, 413)
    else:
        assert request.rows == 1
