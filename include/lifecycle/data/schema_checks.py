"""The schema contract that every model's data must meet, whatever its YAML says: the columns, their kinds, and unique keys.

Used by validation.py before rows are looked at; reads the file's schema and the key column only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.lifecycle.data.findings import SHOWN, Finding, passed, plain
from include.lifecycle.data.table_file import Mask, TableFile, is_number, is_text
from include.lifecycle.data.types import required_columns
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    import pyarrow as pa


def contract_findings(spec: ModelSpec, schema: pa.Schema) -> list[Finding]:
    """Two findings: all required columns are there, and each is of the kind that its role needs."""
    missing = [name for name in required_columns(spec) if name not in schema.names]
    wrong = [text for name in required_columns(spec) if name not in missing and (text := _wrong_kind(spec, schema.field(name)))]
    return [
        Finding(check="columns_exist", outcome=passed(bool(missing)), examples=missing),
        Finding(check="column_kinds", outcome=passed(bool(wrong)), detail="; ".join(wrong)),
    ]


def _wrong_kind(spec: ModelSpec, field: pa.Field) -> str:
    """What is wrong with a column's type for its role, or nothing. Text in a numeric column is judged row by row."""
    import pyarrow as pa

    kind, name = field.type, field.name
    if pa.types.is_null(kind):
        return ""  # all rows are null: they are judged one by one
    if name == spec.data.event_time:
        fits, needed = pa.types.is_timestamp(kind) and kind.tz is not None, "a timestamp with time zone"
    elif name == spec.data.target and spec.objective.task != "multiclass_classification":
        fits, needed = is_number(kind), "a number"
    elif name in numeric_columns(spec):
        fits, needed = is_number(kind) or is_text(kind), "a number"
    elif name == spec.data.key or name in text_columns(spec):
        fits, needed = is_text(kind), "text"
    else:
        return ""
    return "" if fits else f"{name} is {kind}, it must be {needed}"


def numeric_columns(spec: ModelSpec) -> list[str]:
    """Columns of the training table that are read as numbers."""
    return list(spec.features.read_numeric)


def text_columns(spec: ModelSpec) -> list[str]:
    """Columns of the training table that are read as categories."""
    return list(spec.features.read_categorical)


def key_finding(spec: ModelSpec, table: TableFile, keep: Mask) -> Finding:
    """Whether each kept row has a key of its own: labels are joined on it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = table.column(spec.data.key).cast(pa.string())
    keys = keys if keep.all() else keys.filter(pa.array(keep))
    doubled = []
    shared = 0
    if pc.count_distinct(keys).as_py() < len(keys):
        counts = pc.value_counts(keys)
        often = counts.filter(pc.greater(counts.field("counts"), 1))
        shared = int(pc.sum(often.field("counts")).as_py() or 0)
        doubled = [plain(value) for value in often.field("values")[:SHOWN].to_pylist()]
    return Finding(
        check="key_unique",
        column=spec.data.key,
        outcome=passed(bool(shared)),
        rows=len(keys),
        unexpected=shared,
        examples=doubled,
    )
