"""Checks that every model's data must pass, whatever its YAML says: columns, key, target, window, row count.

Used by validation.py beside the declared expectations; pure pandas, one pass per check.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from include.lifecycle.data.findings import Finding, plain
from include.lifecycle.data.types import required_columns
from include.lifecycle.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLES = 5


def schema_findings(spec: ModelSpec, frame: pd.DataFrame, window: tuple[datetime, datetime]) -> list[Finding]:
    """One Finding per check; `window` is [start, end) of event time, timezone-aware."""
    missing = [name for name in required_columns(spec) if name not in frame.columns]
    columns = Finding(check="columns_exist", success=not missing, examples=missing, rows=len(frame))
    enough = len(frame) >= spec.data.minimum_rows
    rows = Finding(
        check="row_count",
        success=enough,
        rows=len(frame),
        detail=f"{len(frame)} rows, data.minimum_rows is {spec.data.minimum_rows}",
    )
    if missing:
        return [columns, rows]
    return [columns, rows, *_row_findings(spec, frame, window)]


def _row_findings(spec: ModelSpec, frame: pd.DataFrame, window: tuple[datetime, datetime]) -> Iterator[Finding]:
    key, event_time, target = (frame[name] for name in (spec.data.key, spec.data.event_time, spec.data.target))
    yield _rows_where("key_not_null", key, key.isna())
    yield _rows_where("key_unique", key, key.duplicated(keep=False) & key.notna())
    yield _rows_where("event_time_not_null", event_time, event_time.isna())
    outside = event_time.notna() & ((event_time < window[0]) | (event_time >= window[1]))
    yield _rows_where("event_time_in_window", event_time, outside, f"[{window[0].isoformat()}, {window[1].isoformat()})")
    yield _rows_where("target_not_null", target, target.isna())
    if spec.objective.task == "binary_classification":
        yield _rows_where("target_is_0_or_1", target, target.notna() & ~target.isin([0, 1]))


def _rows_where(check: str, column: pd.Series, broken: pd.Series, detail: str = "") -> Finding:
    unexpected = int(broken.sum())
    examples = [plain(value) for value in column[broken].head(_EXAMPLES)]
    return Finding(
        check=check,
        column=str(column.name),
        success=not unexpected,
        rows=len(column),
        unexpected=unexpected,
        examples=examples,
        detail=detail,
    )
