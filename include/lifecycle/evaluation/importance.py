"""Permutation importance on the hold-out (Breiman 2001; Fisher, Rudin & Dominici 2019): what the model's quality rests on.

Kept with the version as `importance.json`, the attribution baseline of monitoring and of later versions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from include.lifecycle.evaluation.judging import subset, too_few
from include.lifecycle.evaluation.metrics import objective_metric
from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.registry.onnx_export import spread_rows
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats, plain_number, resampled_interval
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

IMPORTANCE, IMPORTANCE_FILE = "importance", "importance.json"
RESAMPLES = 100  # of the sample's resamples; importance is a description, no comparison


class FeatureImportance(BaseModel):
    """Mean loss of the objective metric when this feature's values are shuffled, with its interval over blocks."""

    model_config = ConfigDict(frozen=True)

    feature: str
    drop: float | None
    lower: float | None
    upper: float | None


class Importance(BaseModel):
    """All features, most important first, and what they were measured on."""

    model_config = ConfigDict(frozen=True)

    metric: str
    rows: int
    repeats: int
    seed: int
    features: list[FeatureImportance]

    def to_json(self) -> str:
        """The text of `importance.json`."""
        return json.dumps(self.model_dump(mode="json"), indent=1) + "\n"

    def shares(self) -> dict[str, float]:
        """Each feature's share of all positive drops."""
        drops = {one.feature: max(one.drop or 0.0, 0.0) for one in self.features}
        total = sum(drops.values())
        return {name: drop / total if total > 0 else 0.0 for name, drop in drops.items()}


def importance_of(
    spec: ModelSpec, predict: Callable[[pd.DataFrame], Floats], sample: Sample, holdout: pd.DataFrame
) -> Importance:
    """Shuffle each column that the model reads, `repeats` times, on `importance.rows` rows; `predict` answers (n,) or (n, k)."""
    rules, metric = spec.evaluation.importance, objective_metric(spec)
    chosen = spread_rows(len(holdout), rules.rows)
    rows, part = holdout.iloc[chosen], subset(sample, chosen, 1)
    weights = part.weights[:RESAMPLES]
    whole = predict(rows)
    drawn_whole, score = metric.resample(part.y, whole, part.codes, weights), metric.score(part.y, whole)
    random = np.random.default_rng(spec.training.seed)
    found = []
    for name in spec.features.read:
        values, drops, drawn = rows[name].to_numpy(), [], []
        for _ in range(rules.repeats):
            shuffled = rows.assign(**{name: _as_column(rows[name], values[random.permutation(len(rows))])})
            p = predict(shuffled)
            drops.append(float(metric.gain(np.array([score]), np.array([metric.score(part.y, p)]))[0]))
            drawn.append(metric.gain(drawn_whole, metric.resample(part.y, p, part.codes, weights)))
        interval = resampled_interval(float(np.mean(drops)), np.mean(drawn, axis=0), part.blocks, sample.confidence)
        told = {end: plain_number(getattr(interval, end)) for end in ("lower", "upper")}
        found.append(FeatureImportance(feature=name, drop=plain_number(interval.estimate), **told))
    found.sort(key=lambda one: -(one.drop if one.drop is not None else -np.inf))
    return Importance(metric=metric.name, rows=len(rows), repeats=rules.repeats, seed=spec.training.seed, features=found)


def _as_column(like: pd.Series, values: Any) -> pd.Series:
    import pandas as pd

    return pd.Series(values, index=like.index, dtype=like.dtype)


def importance_gate(spec: ModelSpec, found: Importance, sample: Sample) -> list[Verdict]:
    """Whether one feature carries more than `max_share` of all importance: a leak of the target looks so."""
    rules, shares = spec.evaluation.importance, found.shares()
    first = max(shares, key=lambda name: shares[name])
    evidence = {
        "act": rules.act,
        "max_share": rules.max_share,
        "metric": found.metric,
        "shares": {name: round(share, 4) for name, share in shares.items()},
        "rows": found.rows,
    }
    if sample.shortage:
        return [too_few(IMPORTANCE, sample.shortage, evidence)]
    fails = shares[first] > rules.max_share
    reason = f"{first} carries {shares[first]:.0%} of the importance; allowed is {rules.max_share:.0%}"
    return [Verdict(check=IMPORTANCE, outcome=Outcome.FAIL if fails else Outcome.PASS, reason=reason, evidence=evidence)]
