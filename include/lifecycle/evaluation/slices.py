"""Gate on declared slices: the objective on each part of the data, against the champion there or the whole hold-out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.evaluation.expressions import rows_where
from include.lifecycle.evaluation.judging import limit_verdict, mirrored, subset
from include.lifecycle.evaluation.metrics import Metric, objective_metric
from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Codes, Floats, Interval, resampled_interval
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

SLICE = "slice"


def slice_gates(
    spec: ModelSpec, sample: Sample, rows: pd.DataFrame, new: Floats, old: Floats | None = None, champion: int | None = None
) -> list[Verdict]:
    """One verdict per declared slice of `rows`: how much worse `new` is there than `old` (None: than on all rows).

    A slice of fewer than `slice_limits.minimum_rows` rows or five blocks is marked too small: inconclusive.
    """
    limits, metric = spec.evaluation.slice_limits, objective_metric(spec)
    verdicts = []
    for number, declared in enumerate(spec.evaluation.slices):
        inside = np.flatnonzero(rows_where(rows, declared.where, f"{spec.name}: evaluation.slices[{number}].where"))
        part = subset(sample, inside, limits.minimum_rows)
        if old is None:
            drop, against = drop_from_whole(metric, sample, new, inside), "the whole hold-out"
        else:
            drop, against = mirrored(part.gain(metric, new[inside], old[inside])), f"version {champion}"
        evidence = {
            "slice": declared.name,
            "where": declared.where,
            "metric": metric.name,
            "against": against,
            "champion_version": champion,
            "value": round(metric.score(part.y, new[inside]), 6) if len(inside) else None,
            "minimum_rows": limits.minimum_rows,
        }
        what = f"drop of {metric.name} on {len(inside)} rows against {against}"
        verdict = limit_verdict(f"{SLICE}:{declared.name}", what, drop, limits.max_drop, part, limits.act, evidence)
        verdicts.append(_marked(verdict, part, limits.minimum_rows))
    return verdicts


def drop_from_whole(metric: Metric, sample: Sample, p: Floats, inside: Codes) -> Interval:
    """How much worse the metric is on the rows `inside` (k,) than on all n rows, by the same resamples; positive is worse."""
    part = subset(sample, inside, 1)
    there, everywhere = metric.score(part.y, p[inside]), metric.score(sample.y, p)
    drawn = metric.gain(
        metric.resample(sample.y, p, sample.codes, sample.weights), metric.resample(part.y, p[inside], part.codes, part.weights)
    )
    estimate = float(metric.gain(np.array([everywhere]), np.array([there]))[0])
    return resampled_interval(estimate, drawn, part.blocks if len(inside) else 0, sample.confidence)


def _marked(verdict: Verdict, part: Sample, minimum: int) -> Verdict:
    if not part.shortage:
        return verdict
    told = (
        f"too small to tell: {part.rows} rows in {part.blocks if part.rows else 0} blocks; slice_limits.minimum_rows is {minimum}"
    )
    evidence = verdict.evidence | {"too_small": True}
    return verdict.model_copy(update={"outcome": Outcome.INCONCLUSIVE, "reason": told, "evidence": evidence})
