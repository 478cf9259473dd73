"""What explains a version's predictions on its hold-out, and how much that ranking varies between hold-out windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import categories, counts_of, numbers
from include.lifecycle.monitoring.inputs.attribution import cells_of, main_effects, ranking_gain
from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.inputs.material import Material
from include.lifecycle.monitoring.inputs.reference import AttributionReference, FeatureCells
from include.lifecycle.monitoring.nulls import null_of
from include.lifecycle.spec import ModelSpec

Floats = NDArray[np.float64]

BINS = 10  # cells of a numeric feature, between equal quantiles of training
CATEGORIES = 50  # most frequent ones of training; the rest is one cell


def attribution_reference(spec: ModelSpec, material: Material) -> AttributionReference | None:
    """The hold-out's attributions and their null; None when fewer than two features explain anything at all."""
    outputs = material.predictions.reshape(len(material.predictions), -1)
    known = {name: feature_cells(spec, name, material) for name in spec.features.all if name in material.holdout}
    coded = {name: cells_of(cut, material.holdout[name].to_numpy()) for name, cut in known.items()}
    effects = {name: main_effects(cells, outputs, size) for name, (cells, size) in coded.items()}
    expected = np.array(list(effects.values()))
    if (expected > 0).sum() < 2 or not np.isfinite(expected).all():
        return None
    nulls = []
    for rows, drawn in sorted(material.drawn.items()):
        values = np.full(len(drawn.rows), np.nan)
        for place, chosen in enumerate(drawn.rows):
            found = np.array([main_effects(cells[chosen], outputs[chosen], size) for cells, size in coded.values()])
            values[place] = 1 - ranking_gain(expected, found)
        nulls.append(null_of(values, drawn, rows, level_of(spec, "attribution")))
    features = {name: cut.model_copy(update={"effect": effects[name]}) for name, cut in known.items()}
    return AttributionReference(features=features, nulls=[null for null in nulls if null is not None])


def feature_cells(spec: ModelSpec, name: str, material: Material) -> FeatureCells:
    """How a feature is cut: deciles of training, or its most frequent categories."""
    if name not in spec.features.numeric:
        counts = counts_of(categories(material.train[name]))
        return FeatureCells(categories=sorted(sorted(counts), key=lambda one: -counts[one])[:CATEGORIES])
    values = numbers(material.train[name])
    finite = values[np.isfinite(values)]
    cuts = np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1]) if finite.size else np.empty(0)
    return FeatureCells(edges=np.unique(cuts).tolist())
