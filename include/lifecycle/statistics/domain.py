"""Whether two samples of rows can be told apart: out-of-fold AUC of a classifier, with an interval over blocks. Pure.

AUC 0.5: no telling; 1: each row betrays its sample. It sees joint changes that no single column shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Blocks = NDArray[np.int64]

FEWEST_BLOCKS = 4
"""Blocks of either sample; with fewer there is neither a fold without them nor an interval."""
TREES, LEAVES, RATE, LEAF_ROWS = 30, 15, 0.15, 40


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows as numbers (n, columns), NaN where missing, and the block of time that each belongs to (n,)."""

    rows: Floats
    blocks: Blocks


@dataclass(frozen=True)
class DomainAuc:
    """The AUC and its two-sided interval."""

    auc: float
    lower: float
    upper: float


def domain_auc(
    reference: Sample, window: Sample, *, categorical: Sequence[bool], folds: int, confidence: float, seed: int
) -> DomainAuc:
    """Tell `window` from `reference` by small gradient-boosted trees, each row scored by a model that saw none of its block.

    Rabanser, Guennemann, Lipton (2019), "Failing loudly", NeurIPS; Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample
    tests", ICLR. Rows are compared within their fold; the interval is DeLong's with blocks as clusters (Obuchowski 1997,
    Biometrics 53:567-578), by Student's t. NaN with fewer than FEWEST_BLOCKS blocks in either.
    """
    sizes = [np.unique(sample.blocks).size for sample in (reference, window)]
    if min(sizes) < FEWEST_BLOCKS:
        return DomainAuc(np.nan, np.nan, np.nan)
    folds = min(folds, *sizes)
    generator = np.random.default_rng(seed)
    parts = [_folds(sample.blocks, folds, generator) for sample in (reference, window)]
    below, above = np.full(len(reference.rows), np.nan), np.full(len(window.rows), np.nan)
    for fold in range(folds):
        out = [part == fold for part in parts]
        low, high = _scores(reference.rows, window.rows, out, categorical, seed)
        above[out[1]] = _placements(high, low)
        below[out[0]] = 1 - _placements(low, high)
    auc = float(above.mean())
    error = np.sqrt(_clustered(above, window.blocks) + _clustered(below, reference.blocks))
    return DomainAuc(auc, *_interval(auc, float(error), min(sizes) - 1, confidence))


def _folds(blocks: Blocks, folds: int, generator: np.random.Generator) -> Blocks:
    """The fold of each row: whole blocks, dealt out evenly in random order."""
    names, codes = np.unique(blocks, return_inverse=True)
    return (generator.permutation(names.size) % folds)[codes]


def _scores(
    reference: Floats, window: Floats, out: list[NDArray[np.bool_]], categorical: Sequence[bool], seed: int
) -> tuple[Floats, Floats]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    train = np.concatenate([reference[~out[0]], window[~out[1]]])
    target = np.repeat([0, 1], [int((~out[0]).sum()), int((~out[1]).sum())])
    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        learning_rate=RATE,
        min_samples_leaf=LEAF_ROWS,
        categorical_features=np.asarray(categorical, dtype=bool),
        early_stopping=False,
        random_state=seed,
    ).fit(train, target)
    low, high = (model.decision_function(rows[held]) for rows, held in zip((reference, window), out, strict=True))
    return low, high


def _placements(scores: Floats, others: Floats) -> Floats:
    """Share of `others` below each score, ties half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / (2 * ordered.size)


def _clustered(placements: Floats, blocks: Blocks) -> float:
    """Variance of their mean with whole blocks as units."""
    _, codes = np.unique(blocks, return_inverse=True)
    sums = np.bincount(codes, weights=placements - placements.mean())
    return float(np.square(sums).sum() * sums.size / (sums.size - 1)) / placements.size**2


def _interval(auc: float, error: float, freedom: int, confidence: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    return max(auc - half, 0.0), min(auc + half, 1.0)
