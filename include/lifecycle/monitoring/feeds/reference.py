"""What hold-out windows show of bursts, runs, repeats and associations: built once with the profile, for faults.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import categories, numbers
from include.lifecycle.monitoring.feeds.associations import association, coding_of, encode, strongest
from include.lifecycle.monitoring.feeds.shapes import longest_run, repeated, worst_part
from include.lifecycle.monitoring.reference_parts import Association, FeedReference
from include.lifecycle.statistics.null import DrawnWindows, independent_windows, null_threshold

if TYPE_CHECKING:
    from typing import Any

    import pandas

    from include.lifecycle.spec import ModelSpec

ROWS = 20_000  # training rows that associations are measured on
DRAWS = 60  # of the drawn windows that are looked at


def feed_reference(
    spec: ModelSpec, train: pandas.DataFrame, holdout: pandas.DataFrame, drawn: DrawnWindows, level: float, *, seed: int
) -> FeedReference:
    """Bars that a hold-out window exceeds with probability `level`. `drawn`: windows of row numbers of `holdout`."""
    kept = np.sort(np.random.default_rng(seed).choice(len(train), min(ROWS, len(train)), replace=False))
    trained = {name: _column(spec, train.iloc[kept], name) for name in spec.watched}
    held = {name: _column(spec, holdout, name) for name in spec.watched}
    order = np.argsort(holdout[spec.data.event_time].to_numpy(), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    some = DrawnWindows(
        [rows[np.argsort(rank[rows])] for rows in drawn.rows[:DRAWS]],
        drawn.starts[:DRAWS],
        drawn.disjoint,
        drawn.blocks_per_window,
    )
    codings = {name: coding for name, values in trained.items() if (coding := coding_of(values)) is not None}
    known = strongest({name: encode(coding, trained[name]) for name, coding in codings.items()})
    cells = {name: encode(coding, held[name]) for name, coding in codings.items()}
    return FeedReference(
        burst_bars={name: _bar(some, level, partial(_burst, values)) for name, values in held.items()},
        run_bars={name: _bar(some, level, partial(_run, values)) for name, values in held.items() if _is_number(values)},
        duplicate_bar=_bar(some, level, partial(_repeated, list(held.values()))),
        codings=codings,
        associations=[_with_lowest(pair, cells, some, level) for pair in known],
    )


def _column(spec: ModelSpec, table: pandas.DataFrame, name: str) -> NDArray[Any]:
    return numbers(table[name]) if name in spec.features.numeric else categories(table[name])


def _is_number(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "f"


def _burst(values: NDArray[Any], rows: NDArray[np.int64]) -> float:
    found = worst_part(nulls_of(values[rows]))
    return found.share if found else 0.0


def nulls_of(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which values (n,) are null: not finite, or None."""
    if _is_number(values):
        return np.asarray(~np.isfinite(values), dtype=np.bool_)
    return np.fromiter((value is None for value in values), dtype=np.bool_, count=len(values))


def _run(values: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    some = values[rows]
    found = longest_run(some[np.isfinite(some)])
    return found.share if found else 0.0


def _repeated(columns: Sequence[NDArray[Any]], rows: NDArray[np.int64]) -> float:
    return float(repeated([values[rows] for values in columns], len(rows)).mean())


def _bar(drawn: DrawnWindows, level: float, measure: Callable[[NDArray[np.int64]], float]) -> float:
    """What a window exceeds with probability `level`, at most 1."""
    values = np.array([measure(rows) for rows in drawn.rows])
    if values.size < 2 or not values.any():
        return 0.0
    return float(min(null_threshold(values, level, independent_windows(values, drawn)), 1.0))


def _with_lowest(pair: Association, cells: dict[str, NDArray[np.int64]], drawn: DrawnWindows, level: float) -> Association:
    values: Sequence[float] = [association(cells[pair.first][rows], cells[pair.second][rows]) for rows in drawn.rows]
    found = np.array([value if np.isfinite(value) else 0.0 for value in values])
    if found.size < 2:
        return pair.model_copy(update={"lowest": 0.0})
    lowest = -null_threshold(-found, level, independent_windows(found, drawn))
    return pair.model_copy(update={"lowest": float(max(lowest, 0.0))})
