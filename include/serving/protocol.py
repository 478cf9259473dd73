"""Open Inference Protocol v2 on the wire: one request body -> checked columns, or a refusal that names the wrong field.

One tensor per column, shape [n] or [n, 1]. Everything here is pure; app.py calls it, engines.py gets its columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from include.serving.outputs import output_names
from include.serving.pii import KeyedHash
from include.serving.tensor_checks import (
    NUMERIC_DATATYPES,
    RequestRefusedError,
    check_datatype,
    check_parameters,
    check_texts,
    event_time_in_utc,
    flattened,
    hashed_texts,
    kind_of,
    listed,
    numbers_of,
    refused,
    shown,
)
from include.serving.version_folder import InputColumn, ServingSpec


@dataclass
class InferenceRequest:
    """A checked request of `rows` rows. `columns` holds each feature as it came, with None for null."""

    rows: int
    columns: dict[str, list[Any]]
    id: str | None = None
    keys: list[str | None] | None = None
    event_times: list[str | None] | None = None
    outputs: tuple[str, ...] = ("prediction",)


@dataclass(frozen=True)
class RequestSchema:
    """What a request to this version may hold; built once per server."""

    features: dict[str, InputColumn]
    key: str
    event_time: str
    max_rows: int
    known: dict[str, frozenset[str | None]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("prediction",)
    hashed: frozenset[str] = frozenset()
    keyed: KeyedHash | None = None

    @classmethod
    def of(cls, spec: ServingSpec, max_rows: int, keyed: KeyedHash | None = None) -> RequestSchema:
        """The schema of one version; a null is never an unknown category. `keyed` replaces the values of hashed columns."""
        known = {column.name: frozenset((*column.known, None)) for column in spec.inputs if column.known is not None}
        features = {column.name: column for column in spec.inputs}
        return cls(features, spec.key, spec.event_time, max_rows, known, output_names(spec), frozenset(spec.hashed), keyed)

    def parse(self, body: bytes) -> InferenceRequest:
        """Check a request body; raise RequestRefusedError (400, or 413 for too many rows)."""
        return self.check(json_object(body, "an object with `inputs`"))

    def check(self, content: dict[str, Any]) -> InferenceRequest:
        """The same for a body that was read already, or that another protocol's was turned into."""
        tensors = _tensors(content)
        self._check_names(tensors)
        outputs = _wanted_outputs(tensors.body.get("outputs"), self.outputs)
        request = InferenceRequest(rows=-1, columns={}, id=_request_id(tensors.body), outputs=outputs)
        for name, tensor in tensors.by_name.items():
            data = self._data(name, tensor)
            if request.rows not in (-1, len(data)):
                raise refused(f"input {name!r} has {len(data)} rows, the inputs before it have {request.rows}; all must agree")
            request.rows = len(data)
            self._take(request, name, tensor, data)
        return request

    def unknown_categories(self, columns: dict[str, list[Any]]) -> dict[str, int]:
        """Per categorical column, how many of its values training never saw; columns without any are left out."""
        found: dict[str, int] = {}
        for name, known in self.known.items():
            values = columns[name]
            if not known.issuperset(values):
                found[name] = sum(value not in known for value in values)
        return found

    def _check_names(self, tensors: _Tensors) -> None:
        names = tensors.by_name.keys()
        if missing := [name for name in self.features if name not in names]:
            raise refused(f"missing input {listed(missing)}; every column of the model must be sent (null is allowed as a value)")
        optional = {self.key, self.event_time}
        if unknown := [name for name in names if name not in self.features and name not in optional]:
            raise refused(f"unknown input {listed(unknown)}; allowed: {listed([*self.features, self.key, self.event_time])}")

    def _data(self, name: str, tensor: dict[str, Any]) -> list[Any]:
        shape, data = tensor.get("shape"), tensor.get("data")
        if type(data) is list and type(shape) is list and len(shape) == 1:
            size = shape[0]
            if type(size) is int and 0 < size == len(data) <= self.max_rows:
                return data  # the usual case, told without looking twice
        if not isinstance(data, list):
            raise refused(f"input {name!r}: data is {kind_of(data)}; allowed: an array")
        if not isinstance(shape, list) or not shape or any(type(size) is not int for size in shape):
            raise refused(f"input {name!r}: shape is {shown(shape)}; allowed: [n] or [n, 1]")
        if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
            raise refused(f"input {name!r}: shape is {shown(shape)}; allowed: [n] or [n, 1], one tensor per column")
        if len(shape) == 2 and data and type(data[0]) is list:
            data = flattened(name, data)
        if shape[0] != len(data):
            raise refused(f"input {name!r}: shape {shown(shape)} asks for {shown(shape[0])} values, data has {len(data)}")
        if not data:
            raise refused(f"input {name!r} has no rows; at least one row is needed")
        if len(data) > self.max_rows:
            raise RequestRefusedError(413, f"input {name!r} has {len(data)} rows; the limit is {self.max_rows} rows per request")
        return data

    def _take(self, request: InferenceRequest, name: str, tensor: dict[str, Any], data: list[Any]) -> None:
        column = self.features.get(name)
        if name in self.hashed and self.keyed is not None:
            data = hashed_texts(name, tensor, data, self.keyed)
        elif column is None or column.kind == "categorical":
            check_datatype(name, tensor, ("BYTES",))
            check_texts(name, data)
        else:
            check_datatype(name, tensor, NUMERIC_DATATYPES)
            data = numbers_of(name, tensor["datatype"], data)
        if column is not None:
            if not column.nullable and None in data:
                raise refused(f"input {name!r}, row {data.index(None)}: null is not allowed in this column")
            request.columns[name] = data
        if name == self.key:
            request.keys = [None if value is None else str(value) for value in data]
        if name == self.event_time:
            request.event_times = [event_time_in_utc(name, row, value) for row, value in enumerate(data)]


@dataclass(frozen=True)
class _Tensors:
    body: dict[str, Any]
    by_name: dict[str, dict[str, Any]]


def json_object(body: bytes, wanted: str) -> dict[str, Any]:
    """A request body that must be a JSON object; `wanted` says in words what it should hold."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise refused(f"the request body is no JSON: {problem}") from problem
    if not isinstance(content, dict):
        raise refused(f"the request body is {kind_of(content)}; allowed: {wanted}")
    return content


def _tensors(content: dict[str, Any]) -> _Tensors:
    inputs = content.get("inputs")
    if "parameters" in content:
        check_parameters("the request", content["parameters"])
    if not isinstance(inputs, list):
        raise refused(f"inputs is {kind_of(inputs)}; allowed: an array of tensors, one per column")
    by_name: dict[str, dict[str, Any]] = {}
    for position, tensor in enumerate(inputs):
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str):
            raise refused(f"inputs[{position}] has no name; allowed: an object with name, shape, datatype and data")
        if name in by_name:
            raise refused(f"input {name!r} is given twice")
        if "parameters" in tensor:
            check_parameters(f"input {name!r}", tensor["parameters"])
        by_name[name] = tensor
    return _Tensors(content, by_name)


def _wanted_outputs(outputs: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    """The output tensors that a request asks for by name; all of them when it asks for none."""
    if not outputs and (outputs is None or isinstance(outputs, list)):
        return known
    listed_outputs = outputs if isinstance(outputs, list) else [None]
    names: list[Any] = [output.get("name") if isinstance(output, dict) else None for output in listed_outputs]
    if any(name not in known for name in names):
        allowed = ", ".join(f"{{'name': '{name}'}}" for name in known)
        raise refused(f"outputs asks for {shown(outputs)}; allowed: [{allowed}] or nothing")
    return tuple(names)


def _request_id(body: dict[str, Any]) -> str | None:
    given = body.get("id")
    if given is not None and not isinstance(given, str):
        raise refused(f"id is {kind_of(given)}; allowed: a string")
    return given
