"""Stage fetch_data: the window of the source, at most `data.max_rows` rows, as one Parquet file in the stage's folder.

Reads the order's window; hands `data.parquet` to validation, snapshot and preparation. A rerun replaces the file whole.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL

from include.lifecycle.data.sampling import BUCKETS, bucket_sql, largest_share
from include.lifecycle.data.source import Source, quoted, wrapped
from include.lifecycle.data.sql import read_query, render_query
from include.lifecycle.data.types import cast_batch, check_columns, training_schema
from include.lifecycle.errors import DataInvalidError, SourceQueryError
from include.lifecycle.results import FetchedData, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import whole_folder

if TYPE_CHECKING:
    import pyarrow

DATA_FILE = "data.parquet"
WINDOW_START, WINDOW_END = b"modelops.window_start", b"modelops.window_end"  # keys of the file's metadata, ISO times


def fetch_data(spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, url: URL) -> FetchedData:
    """Fetch the rows of [window_start, window_end) as known at `as_of`, newest last, and check that they can be trained on.

    Raises:
        SourceUnavailableError: the database does not answer (found within seconds; retryable).
        SourceQueryError: it refuses the query (missing table or column, wrong SQL, no permission).
        DataInvalidError: empty window, missing declared column, all-null target, one class only.
    """
    started = time.monotonic()
    window = f"window {order.window_start:%Y-%m-%d %H:%M} to {order.window_end:%Y-%m-%d %H:%M} UTC"
    where = f"model {spec.name}, query {spec.data.query}, {window}"
    source = Source(url, where)
    query = _windowed_query(spec, rt, order, where)
    source.check_port()
    columns = source.columns(query)
    check_columns(spec, columns, where)
    rows_in_window = source.count(query)
    if not rows_in_window:
        raise DataInvalidError(f"{where}: the query returns no rows")
    statement = _ordered(spec, query, _sample_share(spec, source, query, rows_in_window, where))
    folder = run.folder(rt.storage)
    with whole_folder(folder) as temporary:
        rows = _write(spec, source, statement, temporary / DATA_FILE, order)
        check_target(spec, temporary / DATA_FILE, where)
    seconds = time.monotonic() - started
    return FetchedData(path=folder / DATA_FILE, rows=rows, rows_in_window=rows_in_window, columns=columns, seconds=seconds)


def check_target(spec: ModelSpec, path: Path, where: str) -> None:
    """Raise DataInvalidError when no model can be learnt from the file's target: all null, or one class only."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    target = pq.read_table(path, columns=[spec.data.target]).column(spec.data.target)
    known = target.drop_null()
    if not len(known):
        raise DataInvalidError(f"{where}: target {spec.data.target!r} is null in all {len(target)} rows")
    if spec.objective.task != "regression" and len(classes := pc.unique(known).to_pylist()) == 1:
        raise DataInvalidError(
            f"{where}: target {spec.data.target!r} holds one class only ({classes[0]!r} in all {len(known)} labelled rows)"
        )


def _windowed_query(spec: ModelSpec, rt: Runtime, order: TrainingOrder, where: str) -> str:
    text = read_query(rt.settings.sql_dir, spec.data.query, model=spec.name)
    for name in ("window_start", "window_end"):
        if f":{name}" not in text:
            raise SourceQueryError(f"{where}: the query does not use :{name}; it would read beyond its window")
    values = {"window_start": order.window_start, "window_end": order.window_end, "as_of": order.as_of}
    return render_query(text, values, where=where)


def _sample_share(spec: ModelSpec, source: Source, query: str, rows: int, where: str) -> int:
    """How many hash buckets of the whole window to read."""
    if rows <= spec.data.max_rows:
        return BUCKETS
    column = _sample_column(spec)
    share = largest_share(source.rows_by_bucket(query, column), spec.data.max_rows)
    if not share:
        raise DataInvalidError(
            f"{where}: no hash sample by {column!r} is within data.max_rows {spec.data.max_rows}; too few values"
        )
    return share


def _sample_column(spec: ModelSpec) -> str:
    return spec.data.key if spec.data.sample_by == "key" else spec.data.sample_by


def _ordered(spec: ModelSpec, query: str, share: int) -> str:
    """Order by time and key: the same rows give the same file, and so the same snapshot id."""
    sample = f" WHERE {bucket_sql(quoted(_sample_column(spec)))} < {share}" if share < BUCKETS else ""
    order = f"{quoted(spec.data.event_time)}, {quoted(spec.data.key)}"
    return wrapped("*", query, f"{sample} ORDER BY {order}")


def _write(spec: ModelSpec, source: Source, statement: str, path: Path, order: TrainingOrder) -> int:
    """Stream the rows into one zstd Parquet file; memory holds one batch."""
    import pyarrow.parquet as pq

    rows = 0
    with source.stream(statement) as reader:
        schema = _with_window(training_schema(spec, reader.schema, source.where), order)
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for batch in reader:
                table = cast_batch(batch, schema, source.where)
                writer.write_table(table)
                rows += table.num_rows
    if not rows:
        raise DataInvalidError(f"{source.where}: the rows vanished between counting and reading")
    return rows


def _with_window(schema: pyarrow.Schema, order: TrainingOrder) -> pyarrow.Schema:
    return schema.with_metadata(
        {WINDOW_START: order.window_start.isoformat().encode(), WINDOW_END: order.window_end.isoformat().encode()}
    )
