"""What accepted training data looked like, as one small JSON file per run: types, medians, categories of its columns.

validate_data writes it when the data passed; schema_change.py compares the next run's data with the newest earlier one.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from include.lifecycle.data.schema_checks import numeric_columns, text_columns
from include.lifecycle.data.table_file import Mask, TableFile
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import segment, write_whole

MOST_CATEGORIES = 1000
"""A column with more categories is told by their number alone; names of people are no categories."""


class ColumnProfile(BaseModel):
    """One column: its type's text, values that are not null, median size of a number other than 0, rows per category."""

    model_config = ConfigDict(frozen=True)

    kind: str
    values: int
    size: float | None = None
    categories: dict[str, int] | None = None


class DataProfile(BaseModel):
    """All columns of one run's clean rows, in the file's order."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    taken_at: datetime
    rows: int
    columns: dict[str, ColumnProfile]


def take_profile(spec: ModelSpec, table: TableFile, keep: Mask, run: RunContext, now: datetime) -> DataProfile:
    """Profile the kept rows; features are described, other columns only by their type."""
    numeric, texts = set(numeric_columns(spec)), set(text_columns(spec))
    columns = {}
    for field in table.schema:
        if field.name in numeric:
            columns[field.name] = _numeric(table, field.name, keep)
        elif field.name in texts:
            columns[field.name] = _categorical(table, field.name, keep)
        else:
            columns[field.name] = ColumnProfile(kind=str(field.type), values=0)
    return DataProfile(run_id=run.run_id, taken_at=now, rows=int(keep.sum()), columns=columns)


def _numeric(table: TableFile, name: str, keep: Mask) -> ColumnProfile:
    values = table.numbers(name)[keep]
    values = np.abs(values[np.isfinite(values)])
    sized = values[values > 0]
    size = float(np.median(sized)) if sized.size else None
    return ColumnProfile(kind="number", values=values.size, size=size)


def _categorical(table: TableFile, name: str, keep: Mask) -> ColumnProfile:
    import pyarrow as pa
    import pyarrow.compute as pc

    values = table.column(name).filter(pa.array(keep)).drop_null()
    counts = pc.value_counts(values)
    few = len(counts) <= MOST_CATEGORIES
    categories = dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)) if few else None
    return ColumnProfile(kind="text", values=len(values), categories=categories)


def previous_profile(rt: Runtime, run: RunContext, before: datetime) -> DataProfile | None:
    """The newest profile of another run of this model that was taken before; None for the first training."""
    files = sorted(_folder(rt, run.model).glob("*.json"))
    found = [DataProfile.model_validate_json(file.read_bytes()) for file in files]
    earlier = [profile for profile in found if profile.run_id != run.run_id and profile.taken_at < before]
    return max(earlier, key=lambda profile: profile.taken_at, default=None)


def own_profile(rt: Runtime, run: RunContext) -> DataProfile | None:
    """What an earlier try of this run left: its time decides what a rerun is compared with."""
    path = _path(rt, run)
    return DataProfile.model_validate_json(path.read_bytes()) if path.is_file() else None


def keep_profile(rt: Runtime, run: RunContext, profile: DataProfile, most: int = 20) -> Path:
    """Write this run's profile, and let go of the oldest beyond `most`."""
    path = _path(rt, run)
    write_whole(path, profile.model_dump_json(indent=1))
    files = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    for file in files[:-most]:
        file.unlink(missing_ok=True)
    return path


def _folder(rt: Runtime, model: str) -> Path:
    return rt.storage.root / "data-profiles" / segment(model)


def _path(rt: Runtime, run: RunContext) -> Path:
    return _folder(rt, run.model) / f"{segment(run.run_id)}.json"
