"""MLflow's scoring protocol (`/invocations`): a table by rows, columns or CSV in, `{"predictions": [...]}` out.

Source: MLflow 3, mlflow.pyfunc.scoring_server. A body is turned into the tensors of the Open Inference Protocol, so that both
protocols are checked by the same code.
"""

from __future__ import annotations

import csv
import io
import math
from typing import Any

import orjson

from include.serving.outputs import Predicted
from include.serving.protocol import InferenceRequest, RequestSchema, json_object
from include.serving.replies import Headers, Reply
from include.serving.tensor_checks import RequestRefusedError, kind_of, listed, refused, shown
from include.serving.version_folder import DATATYPES

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_ERROR_CODES = {400: "BAD_REQUEST", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 503: "TEMPORARILY_UNAVAILABLE"}
Columns = dict[str, list[Any]]


class Invocations:
    """MLflow's request and response. Key and event time may stand among the columns; `params` are not used."""

    def __init__(self, schema: RequestSchema) -> None:
        self._schema = schema
        self._order = list(schema.features)

    def parse(self, body: bytes, headers: Headers) -> InferenceRequest:
        """The checked request: JSON, or `text/csv` with a header line. 415 for another content type or charset."""
        content_type = next((value.decode("latin-1") for name, value in headers if name == b"content-type"), "")
        kind, _, parameters = (part.strip().lower() for part in content_type.partition(";"))
        if parameters and parameters.replace(" ", "") not in ("charset=utf-8", 'charset="utf-8"'):
            raise RequestRefusedError(415, f"content type {content_type!r}; allowed: charset=utf-8")
        if kind == "text/csv":
            columns = self._from_csv(body)
        elif kind in ("", "application/json"):
            columns = self._from_json(body)
        else:
            raise RequestRefusedError(415, f"content type {content_type!r}; allowed: application/json, text/csv")
        return self._schema.check({"inputs": [self._tensor(name, values) for name, values in columns.items()]})

    def render(self, request: InferenceRequest, found: Predicted, unknown: dict[str, int], request_id: str) -> bytes:
        """One value per row: P(target = 1), the value, or the class by name."""
        return orjson.dumps({"predictions": found.labels if found.labels is not None else found.values})

    def refuse(self, refusal: RequestRefusedError, headers: Headers) -> Reply:
        """MLflow's error object, with the other protocol's `error` in it."""
        code = _ERROR_CODES.get(refusal.status, "BAD_REQUEST" if refusal.status < 500 else "INTERNAL_ERROR")
        content = {"error_code": code, "message": str(refusal), "error": str(refusal)}
        return Reply(refusal.status, orjson.dumps(content), headers)

    def _tensor(self, name: str, values: list[Any]) -> dict[str, Any]:
        column = self._schema.features.get(name)
        datatype = column.datatype if column is not None and name not in self._schema.hashed else DATATYPES["categorical"]
        if datatype != DATATYPES["categorical"]:
            values = [int(value) if type(value) is bool else value for value in values]  # a frame's booleans are numbers
        return {"name": name, "shape": [len(values)], "datatype": datatype, "data": values}

    def _from_json(self, body: bytes) -> Columns:
        wanted = f"an object with one of {', '.join(FORMATS)}"
        content = json_object(body, wanted)
        given = [name for name in FORMATS if name in content]
        if len(given) != 1:
            raise refused(f"the request body holds {listed(list(content)) or 'nothing'}; allowed: {wanted}")
        (name,) = given
        if name == "dataframe_split":
            return _split(content[name])
        if name == "inputs" and isinstance(content[name], dict):
            return _by_column(content[name])
        return self._by_row(name, content[name])

    def _by_row(self, name: str, rows: Any) -> Columns:
        """Rows that are objects, or arrays in the order of the model's inputs."""
        if not isinstance(rows, list) or not rows:
            raise refused(f"{name} is {shown(rows)}; allowed: an array of at least one row")
        if all(isinstance(row, dict) for row in rows):
            names = list(dict.fromkeys(column for row in rows for column in row))
            return {column: [row.get(column) for row in rows] for column in names}
        if name == "dataframe_records":
            raise refused(f"{name} holds {_first_of_other_kind(rows, dict)}; allowed: objects")
        return _checked_rows(name, self._order, rows)

    def _from_csv(self, body: bytes) -> Columns:
        """A CSV file with a header line; an empty cell is null."""
        try:
            lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig")), strict=True))
        except (UnicodeDecodeError, csv.Error) as problem:
            raise refused(f"the request body is no CSV in UTF-8: {problem}") from problem
        rows = [line for line in lines[1:] if line]
        if not rows:
            raise refused("the CSV has no rows; a header line and at least one row are needed")
        columns = _checked_rows("the CSV", lines[0], rows)
        return {name: [self._cell(name, row, text) for row, text in enumerate(texts)] for name, texts in columns.items()}

    def _cell(self, name: str, row: int, text: str) -> Any:
        if text == "":
            return None
        column = self._schema.features.get(name)
        if column is None or column.kind == "categorical" or name in self._schema.hashed:
            return text
        try:
            number = math.nan if "_" in text else float(text)  # Python reads 1_000, CSV does not
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise refused(f"input {name!r}, row {row}: {shown(text)} is no number; allowed: a finite number, or nothing for null")
        return number


def _split(frame: Any) -> Columns:
    names, rows = (frame.get("columns"), frame.get("data")) if isinstance(frame, dict) else (None, None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not isinstance(rows, list):
        raise refused(f"dataframe_split is {shown(frame)}; allowed: an object with columns (names) and data (rows)")
    return _checked_rows("dataframe_split", names, rows)


def _by_column(columns: dict[str, Any]) -> Columns:
    for name, values in columns.items():
        if not isinstance(values, list):
            raise refused(f"inputs: column {name!r} is {kind_of(values)}; allowed: an array, one value per row")
    return columns


def _checked_rows(where: str, names: list[str], rows: list[Any]) -> Columns:
    """Rows that are arrays, as columns."""
    if len(set(names)) != len(names):
        raise refused(f"{where} names a column twice: {listed(names)}")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            size = f"{len(row)} values" if isinstance(row, list) else kind_of(row)
            raise refused(f"{where}, row {number}: {size}; allowed: {len(names)} values ({listed(names)})")
    if not rows:
        raise refused(f"{where} has no rows; at least one row is needed")
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def _first_of_other_kind(rows: list[Any], kind: type) -> str:
    return kind_of(next(row for row in rows if not isinstance(row, kind)))
