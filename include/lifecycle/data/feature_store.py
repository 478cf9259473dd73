"""Feature store: past values of a table joined to training rows as of each row's event time, never a value from later.

At serving the caller sends the features itself. Another store is another class with `columns` and `add`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from include.lifecycle.data.dialects import DUCKDB
from include.lifecycle.data.event_times import as_utc, is_text
from include.lifecycle.data.source import BATCH_ROWS, Source
from include.lifecycle.data.sql import read_query, render_query
from include.lifecycle.data.types import cast_batch, training_schema
from include.lifecycle.errors import DataInvalidError, SourceQueryError
from include.lifecycle.results import TrainingOrder
from include.lifecycle.sections.sources import StoreSection
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    import pyarrow

_MEMORY = "512MB"


class FeatureStore(Protocol):
    """What fetch asks of a store."""

    @property
    def columns(self) -> list[str]:
        """Columns that the store adds to each row."""
        ...

    def add(self, spec: ModelSpec, source: Source, rows: Path, destination: Path, order: TrainingOrder) -> None:
        """Write `rows` (Parquet) with the store's columns to `destination`, in the same order; no row is added or lost."""
        ...


@dataclass(frozen=True)
class SqlFeatureStore:
    """Tables beside the training query. A row gets the newest values with `value time <= event time`, not older than `max_age`.

    History is read once per table, over [window_start - max_age, window_end); DuckDB joins it (ASOF) in bounded memory. Of two
    values with one time, the one that sorts last wins.
    """

    views: Sequence[StoreSection]
    sql_dir: Path
    model: str

    @property
    def columns(self) -> list[str]:
        """All views' columns."""
        return [name for view in self.views for name in view.columns]

    def add(self, spec: ModelSpec, source: Source, rows: Path, destination: Path, order: TrainingOrder) -> None:
        """Join every view in turn.

        Raises:
            SourceQueryError, SourceUnavailableError: a table cannot be read.
            DataInvalidError: a view lacks a declared column, or its times are none.
        """
        with TemporaryDirectory(prefix="modelops-store-", dir=destination.parent) as name:
            current = rows
            for place, view in enumerate(self.views):
                history, joined = Path(name) / f"{place}.history.parquet", Path(name) / f"{place}.rows.parquet"
                try:
                    self._read_history(spec, view, source, history, order)
                except SourceQueryError as problem:
                    raise SourceQueryError(f"features.store {view.table}: {problem}") from problem
                as_of_join(current, history, joined, view, spec.data.event_time, spec.data.key)
                current = joined
            _finish(spec, current, rows, destination, source.where)

    def _read_history(self, spec: ModelSpec, view: StoreSection, source: Source, path: Path, order: TrainingOrder) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        wanted = [view.entity, view.event_time, *view.columns]
        statement = self._history_query(view, source, order)
        with source.stream(statement) as rows:
            if missing := [name for name in wanted if name not in rows.schema.names]:
                raise DataInvalidError(
                    f"{source.where}: features.store {view.table} has no column {', '.join(missing)}. "
                    f"It has {', '.join(rows.schema.names)}"
                )
            schema = pa.schema([pa.field(name, _kept_type(rows.schema.field(name).type, name, view, spec)) for name in wanted])
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for batch in rows:
                    writer.write_table(_history_batch(batch, schema, view, source.where))

    def _history_query(self, view: StoreSection, source: Source, order: TrainingOrder) -> str:
        quoted, at = source.dialect.quoted, source.dialect.timestamp
        start = order.window_start - view.max_age
        if view.table.endswith(".sql"):
            text = read_query(self.sql_dir, view.table, model=self.model)
            values = {"window_start": start, "window_end": order.window_end, "as_of": order.as_of}
            return render_query(text, values, where=f"{source.where}: features.store {view.table}", dialect=source.dialect)
        if not all(part.isidentifier() for part in view.table.split(".")):
            raise SourceQueryError(f"{source.where}: features.store: {view.table!r} is no table's name")
        table = ".".join(quoted(part) for part in view.table.split("."))
        names = ", ".join(quoted(name) for name in [view.entity, view.event_time, *view.columns])
        time = quoted(view.event_time)
        return f"SELECT {names} FROM {table} WHERE {time} >= {at(start)} AND {time} < {at(order.window_end)}"  # noqa: S608 - quoted


def as_of_join(rows: Path, history: Path, destination: Path, view: StoreSection, event_time: str, key: str) -> None:
    """Write `rows` with `view.columns` of the newest history at or before each row's event time, within `max_age`; else null.

    Times of both files are timestamp[us, UTC], the history's entity is text. Sorted by event time and key.
    """
    import duckdb
    import pyarrow.parquet as pq

    statement = _join_sql(view, event_time, key)
    options: dict[str, str | int] = {"memory_limit": _MEMORY, "threads": 2, "temp_directory": str(destination.parent)}
    with duckdb.connect(config=options) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        reader = connection.sql(statement, params={"history": str(history), "rows": str(rows)}).to_arrow_reader(BATCH_ROWS)
        with pq.ParquetWriter(destination, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)


def _join_sql(view: StoreSection, event_time: str, key: str) -> str:
    quoted = DUCKDB.quoted
    entity, at, when = quoted(view.entity), quoted(view.event_time), quoted(event_time)
    age = f"INTERVAL ({round(view.max_age.total_seconds() * 1e6)}) MICROSECOND"
    names = [quoted(name) for name in view.columns]
    added = ", ".join(f"CASE WHEN h.{at} >= r.{when} - {age} THEN h.{name} END AS {name}" for name in names)
    last = ", ".join(f"{name} DESC NULLS LAST" for name in names)
    newest = (
        f"SELECT * FROM read_parquet($history) WHERE {entity} IS NOT NULL AND {at} IS NOT NULL "  # noqa: S608 - quoted names
        f"QUALIFY row_number() OVER (PARTITION BY {entity}, {at} ORDER BY {last}) = 1"
    )
    return (
        f"SELECT r.*, {added} FROM read_parquet($rows) r ASOF LEFT JOIN ({newest}) h "  # noqa: S608 - quoted names
        f"ON CAST(r.{entity} AS VARCHAR) = h.{entity} AND r.{when} >= h.{at} ORDER BY r.{when}, r.{quoted(key)}"
    )


def _kept_type(kind: pyarrow.DataType, name: str, view: StoreSection, spec: ModelSpec) -> pyarrow.DataType:
    """The type for all of a column's history: a database without fixed types may show another one in the first rows."""
    import pyarrow as pa

    if name == view.event_time:
        return pa.timestamp("us", tz="UTC")
    if name == view.entity or name in spec.features.categorical:
        return pa.string()
    if name in spec.features.numeric and not is_text(kind):
        return pa.float64()
    return pa.string() if pa.types.is_null(kind) else pa.float64() if pa.types.is_decimal(kind) else kind


def _history_batch(batch: pyarrow.RecordBatch, schema: pyarrow.Schema, view: StoreSection, where: str) -> pyarrow.Table:
    import pyarrow as pa

    columns = []
    for field in schema:
        values = batch.column(field.name)
        if field.name == view.event_time:
            columns.append(as_utc(values, f"{view.table}.{field.name}", where))
            continue
        try:
            columns.append(values.cast(field.type, safe=not pa.types.is_floating(field.type)))
        except pa.ArrowInvalid as problem:
            raise DataInvalidError(
                f"{where}: features.store {view.table}: column {field.name!r} cannot become {field.type}: {problem}"
            ) from problem
    return pa.Table.from_arrays(columns, schema=schema)


def _finish(spec: ModelSpec, joined: Path, rows: Path, destination: Path, where: str) -> None:
    """The joined file in the training schema's types, with the metadata of the rows."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(joined) as source:
        schema = training_schema(spec, source.schema_arrow, where).with_metadata(pq.read_schema(rows).metadata)
        with pq.ParquetWriter(destination, schema, compression="zstd") as writer:
            for batch in source.iter_batches(BATCH_ROWS):
                writer.write_table(cast_batch(batch, schema, where))
