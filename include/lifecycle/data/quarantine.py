"""Rows that cannot be trained on: found by the data checks, counted by reason, and kept apart from the clean rows.

The clean file is what snapshot_data keeps and prepare_data splits; `quarantine.parquet` holds the other rows with their reasons.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.data.findings import Finding, passed
from include.lifecycle.data.table_file import Mask, TableFile, is_text
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    import pyarrow as pa

CLEAN_FILE, QUARANTINE_FILE = "clean.parquet", "quarantine.parquet"
REASONS = "quarantine_reasons"
"""Column of the quarantine file: the row's reasons, joined by `; `."""
_BATCH = 65_536


class BadRows:
    """Which of a table's rows are bad, and why; a row may have several reasons."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.reasons: dict[str, Mask] = {}
        self.bad: Mask = np.zeros(rows, dtype=np.bool_)

    def add(self, reason: str, mask: Mask) -> int:
        """Set the rows of `mask` (rows,) aside for `reason`; returns how many they are."""
        count = int(mask.sum())
        if count:
            self.reasons[reason] = self.reasons.get(reason, np.zeros(self.rows, dtype=np.bool_)) | mask
            self.bad = self.bad | mask
        return count

    @property
    def keep(self) -> Mask:
        """The rows that nothing is wrong with."""
        return ~self.bad

    @property
    def count(self) -> int:
        """Number of bad rows."""
        return int(self.bad.sum())

    @property
    def counts(self) -> dict[str, int]:
        """Rows by reason; a row with two reasons counts in both."""
        return {reason: int(mask.sum()) for reason, mask in self.reasons.items()}

    def texts(self, positions: np.ndarray) -> list[str]:
        """The reasons of the rows at these positions."""
        return ["; ".join(reason for reason, mask in self.reasons.items() if mask[place]) for place in positions]


def share_finding(spec: ModelSpec, bad: BadRows) -> Finding:
    """Whether at most `data.quarantine.max_share` of the fetched rows are set aside."""
    allowed = spec.data.quarantine.max_share
    share = bad.count / bad.rows if bad.rows else 0.0
    counted = ", ".join(f"{reason} {count}" for reason, count in bad.counts.items()) or "none"
    return Finding(
        check="quarantine_share",
        outcome=passed(share > allowed),
        rows=bad.rows,
        unexpected=bad.count,
        detail=f"{share:.2%} of the rows, data.quarantine.max_share is {allowed:.2%}; by reason: {counted}",
    )


def separate(table: TableFile, bad: BadRows, folder: Path, numeric: list[str]) -> Path:
    """Write the bad rows to `folder/quarantine.parquet` and, where a row or a type changes, the rest to `folder/clean.parquet`.

    Columns of `numeric` that came as text are numbers in the clean file. Returns the file with the clean rows: the fetched one
    when there is nothing to change. One batch is in memory at a time; the same input gives the same bytes.
    """
    import pyarrow.parquet as pq

    convert = [name for name in numeric if is_text(table.schema.field(name).type)]
    if not bad.count and not convert:
        return table.path
    clean, apart = _schemas(table.schema, convert)
    start = 0
    with (
        pq.ParquetFile(table.path) as source,
        pq.ParquetWriter(folder / CLEAN_FILE, clean, compression="zstd") as good_rows,
        pq.ParquetWriter(folder / QUARANTINE_FILE, apart, compression="zstd") as bad_rows,
    ):
        for batch in source.iter_batches(_BATCH):
            mask = bad.bad[start : start + batch.num_rows]
            good_rows.write_table(_converted(batch, ~mask, convert, clean))
            if mask.any():
                bad_rows.write_table(_with_reasons(batch, mask, bad.texts(start + np.flatnonzero(mask)), apart))
            start += batch.num_rows
    if not bad.count:
        (folder / QUARANTINE_FILE).unlink()
    return folder / CLEAN_FILE


def _schemas(schema: pa.Schema, convert: list[str]) -> tuple[pa.Schema, pa.Schema]:
    import pyarrow as pa

    fields = [field.with_type(pa.float64()) if field.name in convert else field for field in schema]
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != b"pandas"}  # it names the old types
    clean = pa.schema(fields, metadata=metadata)
    return clean, schema.append(pa.field(REASONS, pa.string()))


def _converted(batch: pa.RecordBatch, keep: Mask, convert: list[str], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    kept = batch.filter(pa.array(keep))
    columns = [
        _as_numbers(kept.column(position)) if field.name in convert else kept.column(position)
        for position, field in enumerate(schema)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _as_numbers(texts: pa.Array) -> pa.Array:
    import pandas as pd
    import pyarrow as pa

    values = np.asarray(pd.to_numeric(texts.to_pandas(), errors="coerce"), dtype=np.float64)
    return pa.array(values, mask=np.isnan(values))


def _with_reasons(batch: pa.RecordBatch, mask: Mask, reasons: list[str], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    rows = batch.filter(pa.array(mask))
    return pa.Table.from_arrays([*rows.columns, pa.array(reasons, pa.string())], schema=schema)
