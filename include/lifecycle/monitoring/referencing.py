"""How a reference profile is built from the training and hold-out tables; profile.py holds the result's shape.

Nulls of features: distances of hold-out windows to training. Null of predictions: the hold-out is its own reference, so each
window's Wasserstein distance or KS statistic is divided by 1 - its share of the hold-out, which is exactly the distance to the
rest; for methods over cells its counts are taken out of the hold-out's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import categories, counts_of, numbers, seconds
from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.inputs.material import Material
from include.lifecycle.monitoring.inputs.referencing import inputs_reference
from include.lifecycle.monitoring.nulls import Null
from include.lifecycle.monitoring.performance_reference import FEWEST_DRAWS, performance_reference
from include.lifecycle.monitoring.profile import (
    PREDICTION,
    QUANTILE_LEVELS,
    CategoricalProfile,
    NumericProfile,
    Profile,
)
from include.lifecycle.monitoring.safety_parts import safety_parts
from include.lifecycle.statistics.distances import CELL_DISTANCES, Counts, NumericReference, QuantileBins
from include.lifecycle.statistics.null import (
    DrawnWindows,
    draw_windows,
    independent_windows,
    null_threshold,
)

if TYPE_CHECKING:
    import pandas

    from include.lifecycle.spec import ModelSpec

Floats = NDArray[np.float64]

SAMPLE_SIZE = 50_000
NULL_ROWS = 20_000  # hold-out rows that windows are drawn from
DRAWS = 200
SIZES = (1, 4)  # window sizes of the nulls, in multiples of monitoring.minimum_rows


@dataclass(frozen=True)
class _Nulls:
    """Windows drawn once per size, shared by all columns, and the level of each test."""

    drawn: dict[int, DrawnWindows]
    level: float

    def of(self, cells: NDArray[np.int64], size: int, distance: Callable[[Counts], float], *, inside: bool = False) -> list[Null]:
        """Nulls of a column coded into `size` cells (-1 = null). `inside`: the reference contains the windows."""
        found = [self._one(rows, drawn, cells, size, distance, inside) for rows, drawn in sorted(self.drawn.items())]
        return [null for null in found if null is not None]

    def share_bar(self, cells: NDArray[np.int64]) -> float:
        """Share of nulls that a window of the hold-out exceeds with the level's probability, at most 1."""
        drawn = self.drawn[min(self.drawn)]
        shares = np.array([float((cells[chosen] < 0).mean()) for chosen in drawn.rows])
        return min(null_threshold(shares, self.level, independent_windows(shares, drawn)), 1.0) if shares.any() else 0.0

    def _one(
        self,
        rows: int,
        drawn: DrawnWindows,
        cells: NDArray[np.int64],
        size: int,
        distance: Callable[[Counts], float],
        inside: bool,
    ) -> Null | None:
        values = np.full(len(drawn.rows), np.nan)
        for place, chosen in enumerate(drawn.rows):
            held = cells[chosen]
            held = held[held >= 0]
            if held.size:
                share = min(held.size / cells.size, 0.5) if inside else 0.0
                values[place] = distance(np.bincount(held, minlength=size)) / (1 - share)
        some = np.isfinite(values)
        if some.sum() < FEWEST_DRAWS:
            return None
        independent = independent_windows(values, drawn)
        threshold = null_threshold(values[some], self.level, independent)
        median = float(np.median(values[some]))
        return Null(rows=rows, draws=int(some.sum()), windows=independent, level=self.level, median=median, threshold=threshold)


def profile_from(
    spec: ModelSpec, train: pandas.DataFrame, holdout: pandas.DataFrame, predictions: Floats, *, seed: int
) -> Profile:
    """Build the profile; see profile.build_profile, which checks the input."""
    times = seconds(holdout[spec.data.event_time])
    kept = _kept(len(holdout), seed)
    nulls = _draw(spec, times[kept], seed)
    samples: dict[str, Floats] = {}
    methods = spec.monitoring.drift
    numeric: dict[str, NumericProfile] = {}
    categorical: dict[str, CategoricalProfile] = {}
    for name in spec.watched:
        if name in spec.features.numeric:
            values = numbers(holdout[name])[kept]
            numeric[name], samples[name] = _numeric(numbers(train[name]), values, nulls, spec.drift_method(name))
        else:
            categorical[name] = _categorical(train[name], categories(holdout[name])[kept], nulls, spec.drift_method(name))
    prediction: NumericProfile | CategoricalProfile
    if predictions.ndim == 2:
        prediction = _predicted_classes(spec, predictions, kept, nulls, methods.categorical)
    else:
        prediction, samples[PREDICTION] = _numeric(predictions, predictions[kept], nulls, methods.numeric, inside=True)
    material = Material(train, holdout.iloc[kept], predictions[kept], times[kept], nulls.drawn, seed)
    inputs, more = inputs_reference(spec, material)
    return Profile(
        model=spec.name,
        train_rows=len(train),
        holdout_rows=len(holdout),
        holdout_from=_moment(times.min()),
        holdout_until=_moment(times.max()),
        window_seconds=spec.monitoring.window.total_seconds(),
        numeric=numeric,
        categorical=categorical,
        prediction=prediction,
        performance=performance_reference(spec, holdout, times, predictions),
        **safety_parts(spec, train, holdout, predictions, kept, nulls.drawn[min(nulls.drawn)], nulls.level, seed=seed),
        inputs=inputs,
        samples={name: values for name, values in (samples | more).items() if values.size},
    )


def _kept(rows: int, seed: int) -> NDArray[np.int64]:
    if rows <= NULL_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, NULL_ROWS, replace=False))


def _draw(spec: ModelSpec, times: Floats, seed: int) -> _Nulls:
    monitoring = spec.monitoring
    level = level_of(spec, "drift")
    drawn: dict[int, DrawnWindows] = {}
    for factor in SIZES:
        rows = monitoring.minimum_rows * factor
        windows = draw_windows(times, monitoring.window, rows=rows, draws=DRAWS, seed=seed)
        if not drawn or max(chosen.size for chosen in windows.rows) > monitoring.minimum_rows:
            drawn[rows] = windows
    return _Nulls(drawn, level)


def _numeric(
    train: Floats, holdout: Floats, nulls: _Nulls, method: str, *, inside: bool = False
) -> tuple[NumericProfile, Floats]:
    finite = np.sort(train[np.isfinite(train)])
    if not finite.size:
        nothing = [0.0] * len(QUANTILE_LEVELS)
        return NumericProfile(rows=train.size, null_share=1.0, mean=0.0, std=0.0, quantiles=nothing, method=method), finite
    bins = QuantileBins.of(finite) if method in CELL_DISTANCES else None
    stored = NumericProfile(
        rows=train.size,
        null_share=1 - finite.size / train.size,
        null_share_bar=nulls.share_bar(np.where(np.isfinite(holdout), 0, -1)),
        mean=float(finite.mean()),
        std=float(finite.std()),
        quantiles=[float(value) for value in np.quantile(finite, QUANTILE_LEVELS)],
        nulls=_binned_nulls(bins, holdout, nulls, method, inside)
        if bins
        else _exact_nulls(finite, holdout, nulls, method, inside),
        method=method,
        edges=bins.edges.tolist() if bins else [],
        bin_counts=bins.counts.tolist() if bins else [],
    )
    return stored, _thinned(finite)


def _exact_nulls(finite: Floats, holdout: Floats, nulls: _Nulls, method: str, inside: bool) -> list[Null]:
    some = np.isfinite(holdout)
    grid, codes = np.unique(holdout[some], return_inverse=True)
    cells = np.full(holdout.size, -1, dtype=np.int64)
    cells[some] = codes
    if not grid.size:
        return []
    reference = NumericReference.of(finite)
    return nulls.of(cells, grid.size, reference.ks_on_grid(grid) if method == "ks" else reference.on_grid(grid), inside=inside)


def _binned_nulls(bins: QuantileBins, holdout: Floats, nulls: _Nulls, method: str, inside: bool) -> list[Null]:
    def _distance(seen: Counts) -> float:
        return CELL_DISTANCES[method](bins.counts - seen if inside else bins.counts, seen)

    return nulls.of(bins.cells(holdout), bins.counts.size, _distance)


def _thinned(ordered: Floats) -> Floats:
    """At most SAMPLE_SIZE evenly spaced order statistics, first and last among them: less noise than drawing at random."""
    if ordered.size <= SAMPLE_SIZE:
        return ordered
    return ordered[np.linspace(0, ordered.size - 1, SAMPLE_SIZE).round().astype(np.int64)]


def _categorical(train: pandas.Series[str], holdout: NDArray[np.object_], nulls: _Nulls, method: str) -> CategoricalProfile:
    texts = categories(train)
    counts = counts_of(texts)
    names = sorted(counts.keys() | {text for text in holdout if text is not None})
    number = {name: place for place, name in enumerate(names)}
    cells = np.array([-1 if text is None else number[text] for text in holdout], dtype=np.int64)
    expected = np.array([counts.get(name, 0) for name in names], dtype=np.float64)
    usable = bool(counts) and bool((cells >= 0).any())
    null_share = 1 - sum(counts.values()) / texts.size
    found = nulls.of(cells, len(names), lambda seen: CELL_DISTANCES[method](expected, seen)) if usable else []
    return CategoricalProfile(
        rows=texts.size,
        null_share=null_share,
        null_share_bar=nulls.share_bar(cells),
        nulls=found,
        counts=counts,
        method=method,
    )


def _predicted_classes(
    spec: ModelSpec, predictions: Floats, kept: NDArray[np.int64], nulls: _Nulls, method: str
) -> CategoricalProfile:
    """How often each class was predicted; the null's windows are compared with the hold-out without them."""
    names = spec.objective.classes
    numbers_ = predictions.argmax(axis=1)
    cells = numbers_[kept].astype(np.int64)
    whole = np.bincount(cells, minlength=len(names)).astype(np.float64)
    found = nulls.of(cells, len(names), lambda seen: CELL_DISTANCES[method](whole - seen, seen))
    counts = np.bincount(numbers_, minlength=len(names))
    return CategoricalProfile(
        rows=len(predictions),
        null_share=0.0,
        nulls=found,
        counts={name: int(count) for name, count in zip(names, counts, strict=True) if count},
        method=method,
    )


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(float(at), UTC)
