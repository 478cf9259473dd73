"""What a run of queries looks like: sweeps, near-duplicates, coverage, values far out, hugging of the boundary. Pure.

The same statistics are taken of the hold-out at registration (reference.py), so that a client is compared with honest traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import categories, numbers
from include.lifecycle.monitoring.feeds.shapes import column_hash
from include.lifecycle.monitoring.profile import CategoricalProfile, Profile
from include.lifecycle.monitoring.reference_parts import Coding
from include.lifecycle.spec import ModelSpec

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Rows = NDArray[np.int64]

SWEEP, NEAR, COVERAGE, FAR, BOUNDARY = "sweep", "near_duplicates", "coverage", "far_outside", "boundary"
EXTRACTION: Final = (SWEEP, NEAR, COVERAGE)
ADVERSARIAL: Final = (FAR, BOUNDARY)

SWEPT_VALUES = 3
"""Distinct values of one column, all others equal, that make a sweep; two may be a correction."""
NEAR_RANK, HUGGING_RANK = 0.01, 0.05
"""Largest distance in any number, as a share of the reference's ranks, at which two queries are near-duplicates; the same beside
the boundary, where steps are larger."""
MOST_COLUMNS = 15
"""Columns whose pairs coverage looks at: 105 pairs."""
_CELLS = 8
_ONE_KEY, _FEW = 0.05, 10  # share and number of a client's rows above which rows of one key count apart
_SAME = 1e-12


@dataclass(frozen=True, eq=False)
class Queries:
    """Rows in order of time: `ranks` (n, numbers) among the reference's values (NaN where null, beyond [0, 1] by distance
    where far out), `codes` (n, texts), `cells` (n, columns) for coverage, `hashes` (n, columns), which are `far` (n,), and
    `margin` (n,) of each score from the decision's boundary (NaN: none)."""

    ranks: Floats
    codes: Codes
    cells: Codes
    hashes: NDArray[np.uint64]
    far: NDArray[np.bool_]
    margin: Floats

    @property
    def rows(self) -> int:
        """Number of queries."""
        return len(self.far)

    def take(self, rows: Rows) -> Queries:
        """Some of them."""
        return Queries(self.ranks[rows], self.codes[rows], self.cells[rows], self.hashes[rows], self.far[rows], self.margin[rows])


def queries_of(
    spec: ModelSpec, profile: Profile, columns: Mapping[str, Any], scores: Floats, *, leave: frozenset[str] = frozenset()
) -> Queries:
    """From columns as logged or as in the hold-out, and scores (n,) or (n, classes). `leave`: columns with a data fault."""
    rows = len(scores)
    numeric = {n: numbers(columns[n]) for n in profile.numeric if n in columns and n not in leave}
    texts = {n: categories(columns[n]) for n in profile.categorical if n in columns and n not in leave}
    codings = profile.feed.codings if profile.feed else {}
    cells = [_number_cells(profile, name, values) for name, values in numeric.items()]
    cells += [_text_cells(profile.categorical[name], values) for name, values in texts.items() if name in codings]
    known = [~_known(profile.categorical[name], values) for name, values in texts.items()]
    far = [_far(profile, name, values, spec.monitoring.security.far_ranges) for name, values in numeric.items()]
    return Queries(
        ranks=_stack([_ranks(profile, name, values) for name, values in numeric.items()], rows, np.float64),
        codes=_stack([_factorized(values) for values in texts.values()], rows, np.int64),
        cells=_stack(cells[:MOST_COLUMNS], rows, np.int64),
        hashes=_stack([column_hash(v, i) for i, v in enumerate([*numeric.values(), *texts.values()])], rows, np.uint64),
        far=np.logical_or.reduce([np.zeros(rows, dtype=np.bool_), *far, *_if_all(known)]),
        margin=margins(spec, scores),
    )


def _if_all(unknown: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    """A row is far out by its texts only when every one of them is new: one new category is the world's, not an attack."""
    return [np.logical_and.reduce(unknown)] if unknown else []


def _known(stored: CategoricalProfile, values: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.fromiter((value is None or value in stored.counts for value in values), dtype=np.bool_, count=len(values))


def _stack(parts: list[NDArray[Any]], rows: int, kind: type[Any]) -> NDArray[Any]:
    return np.stack(parts, axis=1) if parts else np.empty((rows, 0), dtype=kind)


def _factorized(values: NDArray[np.object_]) -> Codes:
    import pandas

    return pandas.factorize(values, use_na_sentinel=True)[0].astype(np.int64)


def _ranks(profile: Profile, name: str, values: Floats) -> Floats:
    """Place of each value among the sorted reference, in [0, 1]; beyond its ends by the distance in its ranges."""
    sample = profile.samples.get(name)
    if sample is None or sample.size < 2:
        return np.where(np.isfinite(values), 0.0, np.nan)
    grid, first = np.unique(sample, return_index=True)
    found = np.interp(values, grid, first / sample.size)
    span = max(float(grid[-1] - grid[0]), 1e-12)
    beyond = np.where(values > grid[-1], (values - grid[-1]) / span, np.where(values < grid[0], (values - grid[0]) / span, 0.0))
    return np.where(np.isnan(values), np.nan, found + np.clip(beyond, -1e6, 1e6))


def _far(profile: Profile, name: str, values: Floats, ranges: float) -> NDArray[np.bool_]:
    """Infinite, or beyond the reference's 1 to 99 % range by `ranges` of its widths and beyond all that training had by as much
    again as that spans: records are broken, hardly ever by a whole range."""
    stored = profile.numeric[name]
    low, high, span = stored.quantile(0.01), stored.quantile(0.99), stored.quantile(0.99) - stored.quantile(0.01)
    reach = ranges * max(span, abs(high) * 1e-6, 1e-12)
    least, most = stored.quantile(0.0), stored.quantile(1.0)
    lowest, highest = min(low - reach, least - (most - least)), max(high + reach, most + (most - least))
    return np.asarray((values < lowest) | (values > highest))  # NaN compares false


def _number_cells(profile: Profile, name: str, values: Floats) -> Codes:
    """Equal widths over the 1 to 99 % range, with open ends: who asks evenly fills what honest traffic leaves nearly empty."""
    stored = profile.numeric[name]
    edges = np.linspace(stored.quantile(0.01), stored.quantile(0.99), _CELLS - 1)
    return np.where(np.isnan(values), 0, np.searchsorted(edges, values, side="right")).astype(np.int64)


def _text_cells(stored: CategoricalProfile, values: NDArray[np.object_]) -> Codes:
    common = sorted(stored.counts, key=lambda name: -stored.counts[name])[: _CELLS - 1]
    from include.lifecycle.monitoring.feeds.associations import encode

    return np.maximum(encode(Coding(categories=common, shares=[]), values), 0)


def margins(spec: ModelSpec, scores: Floats) -> Floats:
    """Distance of each score from where the decision turns (n,): |p - threshold|, or of the two best classes; else NaN."""
    if scores.ndim == 2:
        best = np.sort(scores, axis=1)
        return np.asarray(best[:, -1] - best[:, -2])
    if spec.objective.task == "regression":
        return np.full(len(scores), np.nan)
    return np.abs(scores - spec.objective.threshold)


def once_per_key(keys: NDArray[np.object_]) -> Rows:
    """Places of rows (m,) when an entity that is asked about again counts once; a key of over 5 % of the rows is none."""
    import pandas

    codes, _ = pandas.factorize(keys, use_na_sentinel=True)
    series = pandas.Series(codes)
    many = series.map(series.value_counts()).to_numpy() > max(_ONE_KEY * len(codes), _FEW)
    return np.flatnonzero(many | (codes < 0) | ~series.duplicated().to_numpy())


def pattern_shares(queries: Queries, width: float) -> dict[str, float]:
    """Every statistic of these queries. `width`: margin below which a score hugs the boundary."""
    hugging = queries.take(np.flatnonzero(queries.margin < width))
    n = max(queries.rows, 1)
    return {
        SWEEP: float(swept(queries.hashes).mean()) if queries.rows else 0.0,
        NEAR: near(queries, NEAR_RANK) / n,
        COVERAGE: coverage(queries.cells),
        FAR: float(queries.far.mean()) if queries.rows else 0.0,
        BOUNDARY: near(hugging, HUGGING_RANK) / n,
    }


def swept(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which rows (n,) differ from SWEPT_VALUES - 1 others in one column only, which has other values in each (hashes: (n, d))."""
    total = hashes.sum(axis=1, dtype=np.uint64)
    found = np.zeros(len(hashes), dtype=np.bool_)
    whole = np.unique(total, return_inverse=True)[1]
    for column in range(hashes.shape[1] if hashes.shape[1] > 1 else 0):
        groups = np.unique(total - hashes[:, column], return_inverse=True)[1]
        pairs = np.unique(groups.astype(np.int64) * len(hashes) + whole)
        distinct = np.bincount(pairs // len(hashes), minlength=int(groups.max()) + 1)
        found |= distinct[groups] >= SWEPT_VALUES
    return found


def near(queries: Queries, radius: float) -> int:
    """How many rows have a different one with the same texts and every number within `radius` ranks; nulls match nulls."""
    rows = queries.rows
    if rows < 2 or not queries.ranks.shape[1]:
        return 0
    close = np.ones((rows, rows), dtype=np.bool_)
    same = np.ones((rows, rows), dtype=np.bool_)
    for column in queries.codes.T:
        close &= column[:, None] == column[None, :]
    for values in np.nan_to_num(queries.ranks, nan=-9.0).T:
        apart = np.abs(values[:, None] - values[None, :])
        close &= apart <= radius
        same &= apart <= _SAME
    return int((close & ~same).any(axis=1).sum())


def coverage(cells: Codes) -> float:
    """Mean share of the cells of two columns that any query fell into, over all pairs (cells: (n, d), 0 to 7); NaN below two."""
    width = cells.shape[1]
    if width < 2 or not len(cells):
        return float("nan")
    shares = [np.unique(cells[:, a] * _CELLS + cells[:, b]).size / _CELLS**2 for a, b in combinations(range(width), 2)]
    return float(np.mean(shares))
