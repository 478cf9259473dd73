"""What a broken feed looks like over a window: a burst of nulls, one value stuck, rows that came twice. Pure; on arrays.

The same functions measure hold-out windows at registration (reference.py), so that like is compared with like.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.statistics.intervals import wilson

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

MOST_PARTS = 24
ROWS_PER_PART = 50
"""A part of a window with fewer rows says nothing about a burst."""
CONFIDENCE = 0.998


@dataclass(frozen=True)
class Burst:
    """The part of a window with the most nulls: its share of them, the share's lower bound, first and last place (rows)."""

    share: float
    lower: float
    first: int
    last: int


def worst_part(nulls: Mask) -> Burst | None:
    """The part of `nulls` (n,), in order of time, with the highest share; None for too few rows to cut in two."""
    parts = min(MOST_PARTS, nulls.size // ROWS_PER_PART)
    if parts < 2:
        return None
    edges = np.linspace(0, nulls.size, parts + 1).astype(np.int64)
    counts = np.add.reduceat(nulls.astype(np.int64), edges[:-1])
    sizes = np.diff(edges)
    worst = int(np.argmax(counts / sizes))
    hits, rows = int(counts[worst]), int(sizes[worst])
    return Burst(hits / rows, wilson(hits, rows, CONFIDENCE).lower, int(edges[worst]), int(edges[worst + 1]) - 1)


@dataclass(frozen=True)
class Run:
    """The longest unbroken run of one value: its share of the rows, the value, first and last place among the finite ones."""

    share: float
    value: float
    first: int
    last: int


def longest_run(values: Floats) -> Run | None:
    """The longest run in finite `values` (n,), in order of time; None when there are none."""
    if not values.size:
        return None
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    lengths = np.diff(np.append(starts, values.size))
    longest = int(np.argmax(lengths))
    first, length = int(starts[longest]), int(lengths[longest])
    return Run(length / values.size, float(values[first]), first, first + length - 1)


def repeated(columns: Iterable[NDArray[Any]], rows: int) -> Mask:
    """Which of `rows` rows equal an earlier one in all `columns` (each (rows,)). Rows are told apart by a 64-bit hash of them."""
    import pandas

    hashed = row_hash(columns, rows)
    return np.asarray(pandas.Series(hashed).duplicated(keep="first").to_numpy(), dtype=np.bool_)


def row_hash(columns: Iterable[NDArray[Any]], rows: int) -> NDArray[np.uint64]:
    """A hash of each row (rows,): the sum of one random number per column and value, so that a column can be taken out."""
    total = np.zeros(rows, dtype=np.uint64)
    for place, column in enumerate(columns):
        total += column_hash(column, place)
    return total


def column_hash(column: NDArray[Any], place: int) -> NDArray[np.uint64]:
    """The part that column number `place` has in `row_hash` (n,); nulls are one value."""
    import pandas

    codes, found = pandas.factorize(column, use_na_sentinel=True)
    numbers = np.random.default_rng([20_240_501, place]).integers(0, 2**64, len(found) + 1, dtype=np.uint64, endpoint=False)
    return np.asarray(numbers[codes], dtype=np.uint64)
