"""Stage fetch_data: the window of the source, at most `data.max_rows` rows, as one Parquet file in the stage's folder.

Reads the order's window; hands `data.parquet` to validation, snapshot and preparation. A rerun replaces the file whole.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from include.lifecycle.data.event_times import says_no_zone
from include.lifecycle.data.exclusion import ExcludedWindow, excluded_windows
from include.lifecycle.data.feature_store import SqlFeatureStore
from include.lifecycle.data.pii import Protection
from include.lifecycle.data.reading import Sample, check_count, choose_sample, ordered_statement
from include.lifecycle.data.row_filter import RowFilter
from include.lifecycle.data.sampling import BUCKETS
from include.lifecycle.data.training_source import Access, TrainingRows, training_rows
from include.lifecycle.data.types import cast_batch, check_columns, training_schema
from include.lifecycle.database import transaction
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import FetchedData, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import forget_killed, whole_folder

if TYPE_CHECKING:
    import pyarrow

DATA_FILE = "data.parquet"
WINDOW_START, WINDOW_END = b"modelops.window_start", b"modelops.window_end"  # keys of the file's metadata, ISO times
_EVIDENCE = ("source", "rows", "rows_in_window", "immature_rows", "excluded_rows", "excluded_windows", "notes")


def fetch_data(spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, access: Access = None) -> FetchedData:
    """Fetch the rows of [window_start, window_end) as known at `as_of`, newest last, and check that they can be trained on.

    `access`: database of the query (a URL or a DB-API connection), or the S3 account of a dataset; None for local files.

    Raises:
        SourceUnavailableError: the source does not answer (found within seconds; retryable).
        SourceQueryError: it refuses the query (missing table or column, wrong SQL, no permission).
        DataInvalidError: empty window, missing declared column, all-null target, one class only, rows lost on the way.
    """
    started = time.monotonic()
    window = f"window {order.window_start:%Y-%m-%d %H:%M} to {order.window_end:%Y-%m-%d %H:%M} UTC"
    rows = training_rows(spec, rt, order, access, window)
    # files bring all columns themselves; a store stands beside a query, in the same database
    store = SqlFeatureStore(spec.features.store if rows.noun == "query" else (), rt.settings.sql_dir, spec.name)
    protection = Protection.of(spec, rt.settings.pii_key_file)
    rows.source.check()
    columns = _columns(spec, rows, store)
    protection.check(columns, rows.source.where)
    in_window = rows.source.count(rows.query)
    if not in_window:
        raise DataInvalidError(f"{rows.source.where}: the {rows.noun} returns no rows")
    kept_out = _kept_out(spec, rt, order)
    sample = choose_sample(spec, rows, in_window)
    tally = _row_filter(spec, rows, order, sample, kept_out)
    folder = run.folder(rt.storage)
    forget_killed(folder)
    with whole_folder(folder) as temporary:
        # columns that a feature store joins by are protected after the join
        early = protection.without({view.entity for view in store.views})
        notes = _write(spec, rows, sample, tally, temporary / DATA_FILE, order, early)
        if store.views:
            (temporary / DATA_FILE).rename(temporary / "rows.parquet")
            store.add(spec, rows.source, temporary / "rows.parquet", temporary / DATA_FILE, order)
            (temporary / "rows.parquet").unlink()
            protection.file(temporary / DATA_FILE)
        check_target(spec, temporary / DATA_FILE, rows.source.where)
    fetched = FetchedData(
        path=folder / DATA_FILE,
        rows=tally.written,
        rows_in_window=in_window,
        columns=[name for name in columns if name not in protection.dropped],
        seconds=time.monotonic() - started,
        source=rows.name,
        immature_rows=tally.immature,
        excluded_rows=tally.excluded,
        excluded_windows=[window.window_id for window in kept_out],
        notes=notes,
    )
    _note(spec, rt, run, fetched, kept_out)
    return fetched


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


def _columns(spec: ModelSpec, rows: TrainingRows, store: SqlFeatureStore) -> list[str]:
    """All columns of the file to write, checked against what the spec declares."""
    found = rows.source.columns(rows.query)
    for view in store.views:
        if view.entity not in found:
            raise DataInvalidError(
                f"{rows.source.where}: the query does not return {view.entity!r}, by which features.store {view.table} is joined"
            )
    check_columns(spec, [*found, *store.columns], rows.source.where)
    return [*found, *store.columns]


def _kept_out(spec: ModelSpec, rt: Runtime, order: TrainingOrder) -> list[ExcludedWindow]:
    if not spec.data.exclude_faulted:
        return []
    with transaction(rt.engine) as connection:
        return excluded_windows(connection, spec.name, order.window_start, order.window_end, spec.features.all)


def _row_filter(
    spec: ModelSpec, rows: TrainingRows, order: TrainingOrder, sample: Sample, kept_out: list[ExcludedWindow]
) -> RowFilter:
    """No row at or after the label cutoff is learnt from; a query that binds :label_cutoff decides that itself."""
    by_python = sample.share < BUCKETS and rows.source.dialect.bucket is None
    return RowFilter(
        event_time=spec.data.event_time,
        excluded_windows=kept_out,
        cutoff=None if rows.keeps_cutoff else order.as_of - spec.labels.mature_after,
        sample=(sample.column, sample.share) if by_python else None,
    )


def _write(
    spec: ModelSpec,
    rows: TrainingRows,
    sample: Sample,
    tally: RowFilter,
    path: Path,
    order: TrainingOrder,
    protection: Protection,
) -> list[str]:
    """Stream the rows into one zstd Parquet file; memory holds one batch. Returns what is to be said about it."""
    import pyarrow.parquet as pq

    source, notes = rows.source, []
    with source.stream(ordered_statement(spec, rows, sample)) as stream:
        schema = training_schema(spec, stream.schema, source.where, text_times=source.dialect.text_times)
        if says_no_zone(stream.schema.field(spec.data.event_time).type):
            notes.append(f"{spec.data.event_time} names no time zone; it was read as UTC")
        with pq.ParquetWriter(path, protection.schema(_with_window(schema, order)), compression="zstd") as writer:
            for batch in stream:
                kept = tally.keep(cast_batch(batch, schema, source.where))
                if kept.num_rows:
                    writer.write_table(protection.table(kept).cast(writer.schema))
    if not tally.read:
        raise DataInvalidError(f"{source.where}: the rows vanished between counting and reading")
    if not tally.written:
        raise DataInvalidError(
            f"{source.where}: no row is left of {tally.read}: {tally.immature} with immature labels, "
            f"{tally.excluded} in windows with a data fault"
        )
    return [*notes, *check_count(rows, sample, tally.read)]


def _with_window(schema: pyarrow.Schema, order: TrainingOrder) -> pyarrow.Schema:
    return schema.with_metadata(
        {WINDOW_START: order.window_start.isoformat().encode(), WINDOW_END: order.window_end.isoformat().encode()}
    )


def _note(spec: ModelSpec, rt: Runtime, run: RunContext, fetched: FetchedData, kept_out: list[ExcludedWindow]) -> None:
    """What was read and what was left out, into the ledger; once per run, and again if a rerun reads something else."""
    left_out = [
        f"{fetched.rows_in_window - fetched.rows} rows left out" if fetched.rows < fetched.rows_in_window else "",
        f"{len(kept_out)} windows with a data fault or security signal" if kept_out else "",
    ]
    told = "; ".join([f"{fetched.rows} rows from {fetched.source}", *(part for part in left_out if part), *fetched.notes])
    windows = [
        {"id": window.window_id, "start": window.start.isoformat(), "end": window.end.isoformat(), "reason": window.reason}
        for window in kept_out
    ]
    evidence = fetched.model_dump(mode="json", include=set(_EVIDENCE)) | {"windows": windows}
    outcome = hashlib.sha256(json.dumps(evidence, sort_keys=True).encode()).hexdigest()[:16]
    rt.ledger.write(
        Entry(
            model=spec.name,
            kind="training",
            act="fetch data",
            reason=told,
            actor=run.actor,
            spec_hash=spec.digest,
            run_id=run.run_id,
            idempotency_key=f"fetch-data:{spec.name}:{run.run_id}:{outcome}",
            evidence=evidence,
        )
    )
