"""Counts of one window, shard or season over a Scheme: they add up, whatever the order, and fit into one small file.

Counts and nulls merge exactly; sums to float rounding.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.monitoring.counting.scheme import Scheme
from include.lifecycle.storage import write_whole

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NumericCounts:
    """One numeric column: `counts` and `sums` (k + 1,) over the cells of `edges` (k,), and rows that are null or not finite."""

    edges: Floats
    counts: Counts
    sums: Floats
    nulls: int

    @property
    def held(self) -> int:
        """Rows with a finite value."""
        return int(self.counts.sum())

    def merge(self, other: NumericCounts) -> NumericCounts:
        """Both together; ValueError when their cells differ."""
        if not np.array_equal(self.edges, other.edges):
            raise ValueError(f"cells differ: {self.edges.size} edges and {other.edges.size}; only counts of one version merge")
        return NumericCounts(self.edges, self.counts + other.counts, self.sums + other.sums, self.nulls + other.nulls)

    def onto(self, edges: Floats) -> NumericCounts:
        """The same rows over fewer edges; ValueError when `edges` are no part of these."""
        places = np.searchsorted(self.edges, edges)
        if edges.size and (places[-1] >= self.edges.size or not np.array_equal(self.edges[places], edges)):
            raise ValueError(f"{edges.size} edges are no part of the {self.edges.size} that were counted")
        starts = np.concatenate(([0], places + 1))
        return NumericCounts(edges, np.add.reduceat(self.counts, starts), np.add.reduceat(self.sums, starts), self.nulls)


@dataclass(frozen=True)
class CategoryCounts:
    """One categorical column: rows per category that the reference knows (those seen), of all others (`rest`), and nulls."""

    counts: dict[str, int]
    rest: int
    nulls: int

    @property
    def held(self) -> int:
        """Rows with a category."""
        return sum(self.counts.values()) + self.rest

    def merge(self, other: CategoryCounts) -> CategoryCounts:
        """Both together."""
        names = self.counts.keys() | other.counts.keys()
        both = {name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in sorted(names)}
        return CategoryCounts(both, self.rest + other.rest, self.nulls + other.nulls)


@dataclass(frozen=True, eq=False)
class WindowCounts:
    """All watched columns of `rows` predictions; PREDICTION is one of them."""

    rows: int
    numeric: dict[str, NumericCounts]
    categorical: dict[str, CategoryCounts]

    @classmethod
    def nothing(cls, scheme: Scheme) -> WindowCounts:
        """No row: what merging begins with."""
        numeric = {
            name: NumericCounts(edges, np.zeros(edges.size + 1, np.int64), np.zeros(edges.size + 1), 0)
            for name, edges in scheme.edges.items()
        }
        return cls(0, numeric, {name: CategoryCounts({}, 0, 0) for name in scheme.categories})

    def merge(self, other: WindowCounts) -> WindowCounts:
        """Both together; ValueError when they were counted by different schemes."""
        if self.numeric.keys() != other.numeric.keys() or self.categorical.keys() != other.categorical.keys():
            raise ValueError("columns differ; only counts of one version merge")
        numeric = {name: one.merge(other.numeric[name]) for name, one in self.numeric.items()}
        categorical = {name: one.merge(other.categorical[name]) for name, one in self.categorical.items()}
        return WindowCounts(self.rows + other.rows, numeric, categorical)

    def onto(self, scheme: Scheme) -> WindowCounts:
        """The same rows over a scheme of fewer cells (scheme.scheme_of with fewer `cells`)."""
        numeric = {name: self.numeric[name].onto(edges) for name, edges in scheme.edges.items()}
        return WindowCounts(self.rows, numeric, {name: self.categorical[name] for name in scheme.categories})

    def save(self, path: Path) -> None:
        """Write one npz, whole or not at all; no pickle in it."""
        told = {
            "rows": self.rows,
            "numeric": {name: one.nulls for name, one in self.numeric.items()},
            "categorical": {name: [one.counts, one.rest, one.nulls] for name, one in self.categorical.items()},
        }
        arrays: dict[str, NDArray[np.generic]] = {"told": np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)}
        for place, one in enumerate(self.numeric.values()):
            arrays |= {f"edges_{place}": one.edges, f"counts_{place}": one.counts, f"sums_{place}": one.sums}
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **arrays)
        write_whole(path, packed.getvalue())

    @classmethod
    def load(cls, path: Path) -> WindowCounts:
        """Read what `save` wrote; DataInvalidError naming the file when it is missing or damaged."""
        import zipfile

        try:
            with np.load(path, allow_pickle=False) as packed:
                told = json.loads(packed["told"].tobytes())
                numeric = {
                    name: NumericCounts(packed[f"edges_{at}"], packed[f"counts_{at}"], packed[f"sums_{at}"], int(nulls))
                    for at, (name, nulls) in enumerate(told["numeric"].items())
                }
            return cls(int(told["rows"]), numeric, {name: CategoryCounts(*one) for name, one in told["categorical"].items()})
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as problem:
            raise DataInvalidError(f"counts of a window, {path}: {type(problem).__name__}: {problem}") from problem
