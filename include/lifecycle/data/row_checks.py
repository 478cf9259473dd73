"""Checks of single rows that hold for every model: a row that breaks one goes to quarantine, with the check as its reason.

Used by validation.py; reads one column at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.data.findings import SHOWN, Finding, plain
from include.lifecycle.data.quarantine import BadRows
from include.lifecycle.data.schema_checks import numeric_columns
from include.lifecycle.data.table_file import Mask, TableFile, is_text
from include.lifecycle.data.targets import class_numbers
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome

if TYPE_CHECKING:
    import pyarrow as pa


def row_findings(spec: ModelSpec, table: TableFile, bad: BadRows) -> Iterator[Finding]:
    """Null key, time or target, time outside the window, impossible target, text that is no number; rows go into `bad`."""
    yield _set_aside("key_not_null", spec.data.key, table, bad, _nulls(table.column(spec.data.key)))
    yield from _time_findings(spec, table, bad)
    yield from _target_findings(spec, table, bad)
    for name in numeric_columns(spec):
        if is_text(table.schema.field(name).type):
            unreadable = np.isnan(table.numbers(name)) & ~_nulls(table.column(name))
            yield _set_aside("is_a_number", name, table, bad, unreadable)


def _time_findings(spec: ModelSpec, table: TableFile, bad: BadRows) -> Iterator[Finding]:
    import pyarrow as pa

    name, (start, end) = spec.data.event_time, table.window
    times = table.column(name).cast(pa.timestamp("us", tz="UTC"))
    missing = _nulls(times)
    yield _set_aside("event_time_not_null", name, table, bad, missing)
    moments = times.cast(pa.int64()).fill_null(0).to_numpy()
    outside = ~missing & ((moments < _microseconds(start)) | (moments >= _microseconds(end)))
    yield _set_aside("event_time_in_window", name, table, bad, outside, f"[{start.isoformat()}, {end.isoformat()})")


def _target_findings(spec: ModelSpec, table: TableFile, bad: BadRows) -> Iterator[Finding]:
    name = spec.data.target
    missing = _nulls(table.column(name))
    yield _set_aside("target_not_null", name, table, bad, missing)
    if spec.objective.task == "binary_classification":
        yield _set_aside("target_is_0_or_1", name, table, bad, ~missing & ~np.isin(table.numbers(name), (0.0, 1.0)))
    elif spec.objective.task == "regression":
        yield _set_aside("target_is_finite", name, table, bad, ~missing & ~np.isfinite(table.numbers(name)))
    else:
        known = ~np.isnan(class_numbers(table.column(name).to_pylist(), spec.objective.classes))
        yield _set_aside("target_is_a_class", name, table, bad, ~missing & ~known)


def _set_aside(check: str, column: str, table: TableFile, bad: BadRows, mask: Mask, detail: str = "") -> Finding:
    """Put the rows of `mask` into quarantine; the check itself passes, the share of all bad rows is judged at the end."""
    count = bad.add(f"{check}({column})", mask)
    told = "; ".join(part for part in (detail, "set aside" if count else "") if part)
    return Finding(
        check=check,
        column=column,
        outcome=Outcome.PASS,
        rows=table.rows,
        unexpected=count,
        examples=examples(table.column(column), mask) if count else [],
        detail=told,
    )


def examples(values: pa.ChunkedArray, mask: Mask) -> list[Any]:
    """The first few values that the mask marks, JSON-plain."""
    import pyarrow as pa

    return [plain(value) for value in values.take(pa.array(np.flatnonzero(mask)[:SHOWN])).to_pylist()]


def _nulls(values: pa.ChunkedArray) -> Mask:
    return np.asarray(values.is_null().to_numpy(), dtype=np.bool_)


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
