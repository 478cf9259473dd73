"""What a shadow's pairs say, in numbers: agreement, differences, ranks, latency of both. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.rollout.evidence import PairEvidence
from include.lifecycle.rollout.shadowing.pairing import Counted
from include.lifecycle.statistics.intervals import plain_number

Floats = NDArray[np.float64]
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def pair_evidence(counted: Counted, *, ranked: bool) -> PairEvidence:
    """The pairs as evidence; `ranked`: predictions are scores or numbers, whose order means something."""
    found = np.array(counted.sample, dtype=np.float64).reshape(-1, 5)
    live, shadow = found[:, 1], found[:, 2]
    detail: dict[str, Any] = {
        "rows": counted.rows,
        "shadow_alone": counted.alone,
        "mean_difference": plain_number(counted.mean),
        "mean_absolute_difference": plain_number(counted.mean_absolute),
        "largest_difference": plain_number(counted.largest),
        "latency_ms": {"live": _latency(found[:, 3]), "shadow": _latency(found[:, 4])},
        "sample": len(found),
    }
    if ranked and len(found):
        levels = np.quantile(shadow - live, _QUANTILES)
        detail["difference_quantiles"] = {f"{q:g}": plain_number(float(v)) for q, v in zip(_QUANTILES, levels, strict=True)}
        detail["rank_shift"] = rank_shift(live, shadow)
    return PairEvidence(pairs=counted.requests, agreed=counted.agreed, detail=detail)


def rank_shift(first: Floats, second: Floats) -> dict[str, float | None]:
    """How differently two versions order the same rows (n,): `spearman` (Spearman 1904, Am. J. Psychol. 15: correlation of the
    mid-ranks; None where one version says the same of all) and `mean_shift`, the mean absolute difference of ranks over n."""
    one, other = _ranks(first), _ranks(second)
    shift = float(np.abs(one - other).mean() / len(one))
    if one.std() == 0 or other.std() == 0:
        return {"spearman": None, "mean_shift": plain_number(shift)}
    return {"spearman": plain_number(float(np.corrcoef(one, other)[0, 1])), "mean_shift": plain_number(shift)}


def _ranks(values: Floats) -> Floats:
    """Ranks from 1; ties share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[places], dtype=np.float64)


def _latency(values: Floats) -> dict[str, float | None]:
    """Quantiles of milliseconds."""
    if not len(values):
        return {"p50": None, "p95": None, "p99": None}
    return {f"p{q}": plain_number(float(np.percentile(values, q))) for q in (50, 95, 99)}
