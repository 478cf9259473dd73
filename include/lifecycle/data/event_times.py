"""Event times of any source as timezone-aware UTC: typed ones, dates, and the texts of SQLite, CSV files and their kin.

A time that names no zone is UTC; one that names its zone is converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.lifecycle.errors import DataInvalidError

if TYPE_CHECKING:
    import pyarrow

_ZONE = r":\d{2}(\.\d+)?\s*(Z|[+-]\d{2}(:?\d{2})?)\s*$"


def is_text(kind: pyarrow.DataType) -> bool:
    """Whether a column's type is text."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def as_utc(values: pyarrow.Array, name: str, where: str) -> pyarrow.Array:
    """`values` (timestamps, dates or ISO 8601 texts) as timestamp[us, UTC].

    Raises:
        DataInvalidError: a text is no time, or the column holds something else (numbers since 1970 are for the query to convert).
    """
    import pyarrow as pa

    utc = pa.timestamp("us", tz="UTC")
    try:
        if is_text(values.type):
            return _from_text(values.cast(pa.string()))
        if pa.types.is_date(values.type):
            values = values.cast(pa.timestamp("us"))
        if pa.types.is_timestamp(values.type) or pa.types.is_null(values.type):
            return values.cast(utc, safe=False)
    except pa.ArrowInvalid as problem:
        raise DataInvalidError(f"{where}: event time {name!r} is not all ISO 8601: {problem}") from problem
    raise DataInvalidError(f"{where}: event time {name!r} must be a timestamp, a date or ISO 8601 text; got {values.type}")


def says_no_zone(kind: pyarrow.DataType) -> bool:
    """Whether times of this type may lack a zone, so that they are read as UTC."""
    import pyarrow as pa

    return is_text(kind) or (pa.types.is_timestamp(kind) and kind.tz is None)


def _from_text(values: pyarrow.Array) -> pyarrow.Array:
    """Texts with and without a zone, even in one column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    utc, nothing = pa.timestamp("us", tz="UTC"), pa.scalar(None, pa.string())
    zoned = pc.fill_null(pc.match_substring_regex(values, _ZONE), False)
    tight = pc.replace_substring_regex(values, r"\s+(Z|[+-]\d)", r"\1")
    with_zone = pc.if_else(zoned, tight, nothing).cast(utc)
    without = pc.if_else(zoned, nothing, values).cast(pa.timestamp("us")).cast(utc)
    return pc.coalesce(with_zone, without)
