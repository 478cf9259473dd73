"""By which statement fetch reads its rows, how many of them there must be, and whether that many came.

Over `data.max_rows` a hash sample of the whole window is read, by the database where it has md5.
"""

from __future__ import annotations

from dataclasses import dataclass

from include.lifecycle.data.sampling import BUCKETS, largest_share
from include.lifecycle.data.source import wrapped
from include.lifecycle.data.training_source import TrainingRows
from include.lifecycle.errors import DataInvalidError, SourceUnavailableError
from include.lifecycle.spec import ModelSpec


@dataclass(frozen=True)
class Sample:
    """Which hash buckets of `column` are kept ([0, share)), and how many rows the statement returned when it was counted."""

    column: str
    share: int
    rows: int


def choose_sample(spec: ModelSpec, rows: TrainingRows, in_window: int) -> Sample:
    """All rows, or the largest hash sample within `data.max_rows`; DataInvalidError when one value alone is above it."""
    column = spec.data.key if spec.data.sample_by == "key" else spec.data.sample_by
    if in_window <= spec.data.max_rows:
        return Sample(column, BUCKETS, in_window)
    counted = rows.source.rows_by_bucket(rows.query, column)
    share = largest_share(counted, spec.data.max_rows)
    if not share:
        where = rows.source.where
        raise DataInvalidError(
            f"{where}: no hash sample by {column!r} is within data.max_rows {spec.data.max_rows}; too few values"
        )
    by_database = rows.source.dialect.bucket is not None
    expected = sum(number for bucket, number in counted.items() if bucket < share or not by_database)
    return Sample(column, share, expected)


def _chosen(rows: TrainingRows, sample: Sample) -> str:
    bucket = rows.source.dialect.bucket_sql(sample.column)
    return f"WHERE {bucket} < {sample.share}" if bucket and sample.share < BUCKETS else ""


def ordered_statement(spec: ModelSpec, rows: TrainingRows, sample: Sample) -> str:
    """Order by time and key: the same rows give the same file, and so the same snapshot id."""
    quoted = rows.source.dialect.quoted
    order = f"{quoted(spec.data.event_time)}, {quoted(spec.data.key)}"
    return wrapped("*", rows.query, f"{_chosen(rows, sample)} ORDER BY {order}")


def check_count(rows: TrainingRows, sample: Sample, read: int) -> list[str]:
    """Rows read against rows counted before; only rows that were written or removed meanwhile may make a difference."""
    if read == sample.rows:
        return []
    after = rows.source.count(wrapped("*", rows.query, _chosen(rows, sample)))
    told = f"{sample.rows} rows were counted before reading and {after} after it; {read} were read"
    if not min(sample.rows, after) <= read <= max(sample.rows, after):
        raise SourceUnavailableError(f"{rows.source.where}: {told}: rows were lost on the way")
    return [told]
