"""Builds the inputs' part of a profile: habits of each column, and the hold-out as the reference of skew."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import categories, counts_of, numbers
from include.lifecycle.monitoring.inputs.attribution_reference import attribution_reference
from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.inputs.creep_reference import creep_nulls
from include.lifecycle.monitoring.inputs.material import Material
from include.lifecycle.monitoring.inputs.multivariate_reference import multivariate_reference
from include.lifecycle.monitoring.inputs.reference import SKEW_SAMPLE, HoldoutColumn, InputsReference, NoveltyReference
from include.lifecycle.monitoring.nulls import Null, null_of, share_bar
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.distances import SMALLEST_SCALE, NumericReference, jensen_shannon

Floats = NDArray[np.float64]

SKEW_ROWS = 10_000
"""Values per numeric column that are kept of the hold-out: evenly spaced order statistics."""


def inputs_reference(spec: ModelSpec, material: Material) -> tuple[InputsReference, dict[str, Floats]]:
    """The inputs' reference and its samples by name."""
    novelty = {name: _novelty(spec, name, material) for name in spec.watched}
    samples: dict[str, Floats] = {}
    holdout: dict[str, HoldoutColumn] = {}
    if spec.monitoring.skew.windows and spec.watched:
        level = level_of(spec, "skew")
        for name in spec.watched:
            found = _numeric(name, material, level, samples) if name in spec.features.numeric else _texts(name, material, level)
            if found is not None:
                holdout[name] = found
    attribution = attribution_reference(spec, material) if spec.monitoring.attribution.enabled else None
    multivariate = None
    if spec.monitoring.multivariate.enabled and spec.watched:
        multivariate, joint = multivariate_reference(spec, material)
        samples |= joint
    creep = creep_nulls(spec, material) if spec.monitoring.creep.weeks and spec.watched else {}
    parts = InputsReference(novelty=novelty, holdout=holdout, attribution=attribution, multivariate=multivariate, creep=creep)
    return parts, samples


def _novelty(spec: ModelSpec, name: str, material: Material) -> NoveltyReference:
    """Bars of the smallest windows: shares of larger ones vary less."""
    drawn, level = material.drawn[min(material.drawn)], level_of(spec, "novelty")
    low: float | None = None
    high: float | None = None
    if name in spec.features.numeric:
        train, held = numbers(material.train[name]), numbers(material.holdout[name])
        missing, finite = ~np.isfinite(held), train[np.isfinite(train)]
        strange = np.zeros(held.size, dtype=bool)
        if finite.size:
            tail = spec.monitoring.novelty.outlier_quantile
            low, high = (float(value) for value in np.quantile(finite, (tail, 1 - tail)))
            strange = (held < low) | (held > high)
    else:
        known, texts = set(counts_of(categories(material.train[name]))), categories(material.holdout[name])
        missing = np.array([text is None for text in texts], dtype=bool)
        strange = np.array([text is not None and text not in known for text in texts], dtype=bool)
    return NoveltyReference(
        missing=float(missing.mean()),
        missing_bar=share_bar(missing, drawn, level),
        strange=float(strange.mean()),
        strange_bar=share_bar(strange, drawn, level),
        low=low,
        high=high,
    )


def _numeric(name: str, material: Material, level: float, samples: dict[str, Floats]) -> HoldoutColumn | None:
    """The hold-out is its own reference: a window's distance to the rest of it is the distance to all / (1 - its share)."""
    train, held = numbers(material.train[name]), numbers(material.holdout[name])
    finite, some = np.sort(held[np.isfinite(held)]), np.isfinite(held)
    known = train[np.isfinite(train)]
    if not finite.size or not known.size:
        return None
    scale = max(float(known.std()), SMALLEST_SCALE)
    grid, codes = np.unique(held[some], return_inverse=True)
    cells = np.full(held.size, -1, dtype=np.int64)
    cells[some] = codes
    distance = NumericReference(finite, scale).on_grid(grid)
    nulls = []
    for rows, drawn in sorted(material.drawn.items()):
        values = np.full(len(drawn.rows), np.nan)
        for place, chosen in enumerate(drawn.rows):
            inside = cells[chosen]
            inside = inside[inside >= 0]
            if inside.size:
                share = min(inside.size / finite.size, 0.5)
                values[place] = distance(np.bincount(inside, minlength=grid.size)) / (1 - share)
        nulls.append(null_of(values, drawn, rows, level))
    step = np.linspace(0, finite.size - 1, min(finite.size, SKEW_ROWS)).round().astype(np.int64)
    samples[SKEW_SAMPLE + name] = finite[step]
    return HoldoutColumn(nulls=_known(nulls), scale=scale)


def _texts(name: str, material: Material, level: float) -> HoldoutColumn | None:
    """A window's distance to the hold-out without it."""
    texts = categories(material.holdout[name])
    counts = counts_of(texts)
    if not counts:
        return None
    number = {text: place for place, text in enumerate(sorted(counts))}
    cells = np.array([-1 if text is None else number[text] for text in texts], dtype=np.int64)
    whole = np.bincount(cells[cells >= 0], minlength=len(number))
    nulls = []
    for rows, drawn in sorted(material.drawn.items()):
        seen = [np.bincount(held[held >= 0], minlength=len(number)) for held in (cells[chosen] for chosen in drawn.rows)]
        nulls.append(null_of(np.array([jensen_shannon(whole - one, one) for one in seen]), drawn, rows, level))
    return HoldoutColumn(nulls=_known(nulls), counts=counts)


def _known(nulls: list[Null | None]) -> list[Null]:
    return [null for null in nulls if null is not None]
