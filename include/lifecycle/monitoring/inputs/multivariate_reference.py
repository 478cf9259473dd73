"""The hold-out's rows as multivariate drift compares windows with them, and how well hold-out windows are told from the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.inputs.attribution_reference import feature_cells
from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.inputs.material import Material
from include.lifecycle.monitoring.inputs.multivariate import PARTS, as_numbers
from include.lifecycle.monitoring.inputs.reference import JOINT_SAMPLE, MultivariateReference
from include.lifecycle.monitoring.nulls import null_of
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.domain import Sample, domain_auc
from include.lifecycle.training.threads import native_threads

Floats = NDArray[np.float64]


def multivariate_reference(spec: ModelSpec, material: Material) -> tuple[MultivariateReference, dict[str, Floats]]:
    """The reference, and its samples: a bounded number of hold-out rows, column by column, and their blocks of time.

    Windows are drawn in blocks (statistics/null.py); each is told from the rest of the hold-out, its blocks left out.
    """
    rules, random = spec.monitoring.multivariate, np.random.default_rng(material.seed)
    known = {name: feature_cells(spec, name, material) for name in spec.watched}
    columns = {name: as_numbers(cut, material.holdout[name].to_numpy()) for name, cut in known.items()}
    length = spec.monitoring.window.total_seconds() / PARTS
    blocks = np.floor((material.times - material.times.min()) / length).astype(np.int64)
    kept = np.sort(random.choice(len(blocks), min(rules.rows, len(blocks)), replace=False))
    samples = {JOINT_SAMPLE + name: values[kept] for name, values in columns.items()}
    samples[JOINT_SAMPLE] = blocks[kept].astype(np.float64)
    whole = Sample(np.column_stack(list(columns.values())), blocks)
    nulls = []
    for rows, drawn in sorted(material.drawn.items()):
        some = replace(drawn, rows=drawn.rows[: rules.draws], starts=drawn.starts[: rules.draws])
        aucs = [
            _told_apart(spec, whole, kept, chosen, [cut.categories is not None for cut in known.values()]) for chosen in some.rows
        ]
        nulls.append(null_of(np.array(aucs), some, rows, level_of(spec, "multivariate")))
    reference = MultivariateReference(features=known, nulls=[null for null in nulls if null is not None], seed=spec.training.seed)
    return reference, samples


def _told_apart(
    spec: ModelSpec, whole: Sample, kept: NDArray[np.int64], chosen: NDArray[np.int64], categorical: list[bool]
) -> float:
    """AUC of one drawn window against the kept rows outside its blocks."""
    rules = spec.monitoring.multivariate
    thinned = np.random.default_rng(spec.training.seed).choice(chosen, min(rules.rows, chosen.size), replace=False)
    window = np.sort(thinned)
    rest = kept[~np.isin(whole.blocks[kept], np.unique(whole.blocks[window]))]
    pair = [Sample(whole.rows[rows], whole.blocks[rows]) for rows in (rest, window)]
    with native_threads(1):
        return domain_auc(
            *pair, categorical=categorical, folds=rules.folds, confidence=rules.confidence, seed=spec.training.seed
        ).auc
