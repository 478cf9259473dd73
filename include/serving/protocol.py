"""Open Inference Protocol v2 on the wire: one request body -> checked columns, or a refusal that names the wrong field.

One tensor per column, shape [n] or [n, 1]. Everything here is pure; app.py calls it, engines.py gets its columns.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from include.serving.version_folder import InputColumn, ServingSpec

NUMERIC_DATATYPES = frozenset(
    ("FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"),
)
FLOAT32_MAX = 3.4028234663852886e38
MAX_TEXT = 1000  # characters of a category or key: a line of the log stays readable
_NUMBERS: frozenset[type] = frozenset((float, int, type(None)))
_STRINGS: frozenset[type] = frozenset((str, type(None)))
_SHOWN = 20  # names in one message


class RequestRefusedError(Exception):
    """A request that cannot be answered; `status` is the HTTP status, the text names field, value and what is allowed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class InferenceRequest:
    """A checked request of `rows` rows. `columns` holds each feature as it came, with None for null."""

    rows: int
    columns: dict[str, list[Any]]
    id: str | None = None
    keys: list[str | None] | None = None
    event_times: list[str | None] | None = None


@dataclass(frozen=True)
class RequestSchema:
    """What a request to this version may hold; built once per server."""

    features: dict[str, InputColumn]
    key: str
    event_time: str
    max_rows: int
    known: dict[str, frozenset[str | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: ServingSpec, max_rows: int) -> RequestSchema:
        """The schema of one version; a null is never an unknown category."""
        known = {column.name: frozenset((*column.known, None)) for column in spec.inputs if column.known is not None}
        return cls({column.name: column for column in spec.inputs}, spec.key, spec.event_time, max_rows, known)

    def parse(self, body: bytes) -> InferenceRequest:
        """Check a request body; raise RequestRefusedError (400, or 413 for too many rows)."""
        tensors = _tensors(body)
        self._check_names(tensors)
        request = InferenceRequest(rows=-1, columns={}, id=_request_id(tensors.body))
        for name, tensor in tensors.by_name.items():
            data = self._data(name, tensor)
            if request.rows not in (-1, len(data)):
                raise _refused(f"input {name!r} has {len(data)} rows, the inputs before it have {request.rows}; all must agree")
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
            raise _refused(
                f"missing input {_listed(missing)}; every column of the model must be sent (null is allowed as a value)"
            )
        optional = {self.key, self.event_time}
        if unknown := [name for name in names if name not in self.features and name not in optional]:
            raise _refused(f"unknown input {_listed(unknown)}; allowed: {_listed([*self.features, self.key, self.event_time])}")

    def _data(self, name: str, tensor: dict[str, Any]) -> list[Any]:
        shape, data = tensor.get("shape"), tensor.get("data")
        if not isinstance(data, list):
            raise _refused(f"input {name!r}: data is {_kind(data)}; allowed: an array")
        if not isinstance(shape, list) or not shape or any(type(size) is not int for size in shape):
            raise _refused(f"input {name!r}: shape is {_shown(shape)}; allowed: [n] or [n, 1]")
        if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
            raise _refused(f"input {name!r}: shape is {shape}; allowed: [n] or [n, 1], one tensor per column")
        if len(shape) == 2 and data and type(data[0]) is list:
            data = _flattened(name, data)
        if shape[0] != len(data):
            raise _refused(f"input {name!r}: shape {shape} asks for {shape[0]} values, data has {len(data)}")
        if not data:
            raise _refused(f"input {name!r} has no rows; at least one row is needed")
        if len(data) > self.max_rows:
            raise RequestRefusedError(413, f"input {name!r} has {len(data)} rows; the limit is {self.max_rows} rows per request")
        return data

    def _take(self, request: InferenceRequest, name: str, tensor: dict[str, Any], data: list[Any]) -> None:
        column = self.features.get(name)
        if column is None or column.kind == "categorical":
            _check_datatype(name, tensor, ("BYTES",))
            _check_texts(name, data)
        else:
            _check_datatype(name, tensor, NUMERIC_DATATYPES)
            _check_numbers(name, data)
        if column is not None:
            if not column.nullable and None in data:
                raise _refused(f"input {name!r}, row {data.index(None)}: null is not allowed in this column")
            request.columns[name] = data
        if name == self.key:
            request.keys = [None if value is None else str(value) for value in data]
        if name == self.event_time:
            request.event_times = [_event_time(name, row, value) for row, value in enumerate(data)]


@dataclass(frozen=True)
class _Tensors:
    body: dict[str, Any]
    by_name: dict[str, dict[str, Any]]


def _tensors(body: bytes) -> _Tensors:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise _refused(f"the request body is no JSON: {problem}") from problem
    if not isinstance(content, dict):
        raise _refused(f"the request body is {_kind(content)}; allowed: an object with `inputs`")
    inputs = content.get("inputs")
    if not isinstance(inputs, list):
        raise _refused(f"inputs is {_kind(inputs)}; allowed: an array of tensors, one per column")
    by_name: dict[str, dict[str, Any]] = {}
    for position, tensor in enumerate(inputs):
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str):
            raise _refused(f"inputs[{position}] has no name; allowed: an object with name, shape, datatype and data")
        if name in by_name:
            raise _refused(f"input {name!r} is given twice")
        by_name[name] = tensor
    _check_outputs(content.get("outputs"))
    return _Tensors(content, by_name)


def _check_outputs(outputs: Any) -> None:
    if outputs is None:
        return
    names = (
        [output.get("name") if isinstance(output, dict) else None for output in outputs] if isinstance(outputs, list) else [None]
    )
    if any(name != "prediction" for name in names):
        raise _refused(f"outputs asks for {_shown(outputs)}; allowed: [{{'name': 'prediction'}}] or nothing")


def _request_id(body: dict[str, Any]) -> str | None:
    given = body.get("id")
    if given is not None and not isinstance(given, str):
        raise _refused(f"id is {_kind(given)}; allowed: a string")
    return given


def _check_datatype(name: str, tensor: dict[str, Any], allowed: Collection[str]) -> None:
    datatype = tensor.get("datatype")
    if not isinstance(datatype, str) or datatype not in allowed:
        raise _refused(f"input {name!r} has datatype {_shown(datatype)}; allowed: {', '.join(sorted(allowed))}")


def _check_values(name: str, data: list[Any], allowed: frozenset[type], wanted: str) -> None:
    if not allowed.issuperset(map(type, data)):
        row, value = next((row, value) for row, value in enumerate(data) if type(value) not in allowed)
        raise _refused(f"input {name!r}, row {row}: {_shown(value)} is {_kind(value)}; allowed: {wanted}")


def _check_texts(name: str, data: list[Any]) -> None:
    _check_values(name, data, _STRINGS, "a string or null")
    if max(map(len, filter(None, data)), default=0) > MAX_TEXT:
        row, value = next((row, value) for row, value in enumerate(data) if len(value or "") > MAX_TEXT)
        raise _refused(f"input {name!r}, row {row}: a string of {len(value)} characters; allowed: up to {MAX_TEXT}")


def _check_numbers(name: str, data: list[Any]) -> None:
    _check_values(name, data, _NUMBERS, "a number or null")
    if max(map(abs, filter(None, data)), default=0) > FLOAT32_MAX:
        row, value = next((row, value) for row, value in enumerate(data) if abs(value or 0) > FLOAT32_MAX)
        raise _refused(f"input {name!r}, row {row}: {value} is too large; allowed: up to {FLOAT32_MAX:.3g} in magnitude")


def _flattened(name: str, data: list[Any]) -> list[Any]:
    for row, value in enumerate(data):
        if type(value) is not list or len(value) != 1:
            raise _refused(f"input {name!r}, row {row}: {_shown(value)} does not fit the shape [n, 1]; allowed: [value]")
    return [value[0] for value in data]


def _event_time(name: str, row: int, value: str | None) -> str | None:
    at = None if value is None else _in_utc(value)
    if value is not None and at is None:
        example = "2013-08-01T06:00:00+00:00"
        raise _refused(f"input {name!r}, row {row}: {_shown(value)}; allowed: ISO 8601 with timezone, such as {example}")
    return at


def _in_utc(text: str) -> str | None:
    """The moment in UTC with microseconds, or None when the text is none."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC).isoformat(timespec="microseconds") if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _refused(message: str) -> RequestRefusedError:
    return RequestRefusedError(400, message)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return "missing or null" if value is None else names.get(type(value), type(value).__name__)
