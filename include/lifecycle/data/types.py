"""Column types of every training table: what a source returned is cast to what the later stages rely on.

key and categorical: string; numeric: float64; event time: timestamp[us, UTC]; binary target: int8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.lifecycle.data.event_times import as_utc, is_text
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.rules.view import did_you_mean
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    import pyarrow


def required_columns(spec: ModelSpec) -> list[str]:
    """Columns that the query must return: key, event time, target, features, fairness attributes, the folds' group."""
    names = [spec.data.key, spec.data.event_time, spec.data.target, *spec.features.read, *spec.evaluation.columns]
    if spec.training.folding.group_by is not None:
        names.append(spec.training.folding.group_by)
    if spec.data.sample_by != "key":
        names.append(spec.data.sample_by)
    return list(dict.fromkeys(names))


def check_columns(spec: ModelSpec, columns: list[str], where: str) -> None:
    """Raise DataInvalidError that names every declared column the query does not return."""
    missing = [name for name in required_columns(spec) if name not in columns]
    if missing:
        named = "; ".join(f"{name!r}{did_you_mean(name, columns)}" for name in missing)
        raise DataInvalidError(f"{where}: the query does not return the declared column {named}. It returns {', '.join(columns)}")
    if doubled := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataInvalidError(f"{where}: the query returns column {', '.join(doubled)} more than once")


def training_schema(spec: ModelSpec, source: pyarrow.Schema, where: str, *, text_times: bool = False) -> pyarrow.Schema:
    """The schema to write, in the source's column order; raises DataInvalidError for a type that cannot serve its role.

    `text_times`: the source has no type for times, so text may be one.
    """
    import pyarrow as pa

    return pa.schema([pa.field(field.name, _target_type(spec, field, where, text_times)) for field in source])


def cast_batch(batch: pyarrow.RecordBatch, schema: pyarrow.Schema, where: str) -> pyarrow.Table:
    """One batch in the schema's types; a target that is no whole number raises DataInvalidError."""
    import pyarrow as pa

    columns = []
    for field in schema:
        values = batch.column(batch.schema.get_field_index(field.name))
        try:
            columns.append(as_utc(values, field.name, where) if field.type == _utc() else _cast(values, field.type))
        except pa.ArrowInvalid as problem:
            raise DataInvalidError(f"{where}: column {field.name!r} cannot become {field.type}: {problem}") from problem
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(values: pyarrow.Array, wanted: pyarrow.DataType) -> pyarrow.Array:
    import pyarrow as pa

    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    return values.cast(wanted, safe=not pa.types.is_floating(wanted))  # a binary target of 0.5 must not become 0


def _utc() -> pyarrow.DataType:
    import pyarrow as pa

    return pa.timestamp("us", tz="UTC")


def _target_type(spec: ModelSpec, field: pyarrow.Field, where: str, text_times: bool) -> pyarrow.DataType:
    import pyarrow as pa

    name, kind = field.name, field.type
    unknown = pa.types.is_null(kind)  # a database without types, and a first chunk without values
    is_number = (
        unknown
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )
    if name == spec.data.event_time:
        fits = pa.types.is_timestamp(kind) or pa.types.is_date(kind) or unknown or (text_times and is_text(kind))
        _require(fits, name, "event time", "a timestamp or date", field, where)
        return _utc()
    if name == spec.data.target and spec.objective.task != "multiclass_classification":
        _require(is_number, name, "target", "numeric or boolean", field, where)
        return pa.int8() if spec.objective.task == "binary_classification" else pa.float64()
    if name in spec.features.read_numeric and text_times and is_text(kind):
        return pa.string()  # a source without types: validate_data makes numbers of it, row by row
    if name in spec.features.read_numeric:
        _require(is_number, name, "numeric feature", "numeric or boolean", field, where)
        return pa.float64()
    if name == spec.data.key or name in spec.features.read_categorical or is_text(kind) or unknown:
        return pa.string()
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _require(fits: bool, name: str, role: str, allowed: str, field: pyarrow.Field, where: str) -> None:
    if not fits:
        raise DataInvalidError(f"{where}: {role} {name!r} must be {allowed}; the query returns {field.type}")
