"""Drift of columns against their season: the same hours of the week in recent weeks, instead of training's hold-out. Pure.

`monitoring.reference` says whether: a column is judged by its season once that holds enough windows and enough earlier distances
for a null. Until then training decides (auto), or nothing does (seasonal).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.inputs.masses import Masses, live_counts, named_counts
from include.lifecycle.monitoring.inputs.roles import drift_kind
from include.lifecycle.monitoring.inputs.season import WEEK, Season, same_hours
from include.lifecycle.monitoring.kinds import column_of
from include.lifecycle.monitoring.nulls import Null, null_of
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import CategoricalProfile, NumericProfile, Profile
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.distances import SMALLEST_SCALE, category_distance
from include.lifecycle.statistics.null import DrawnWindows
from include.lifecycle.verdicts import Outcome, Verdict

METHODS = ("wasserstein", "jensen_shannon")
"""Columns with another distance keep training as their reference: its minimum effect is in that distance's unit."""


@dataclass(frozen=True)
class Seasonal:
    """A column's distance to its season, NaN without one; from how many windows the season is made, over how many live values."""

    distance: float
    windows: int
    rows: int


def seasonal_distances(spec: ModelSpec, profile: Profile, window: Predictions, season: Season) -> dict[str, Seasonal]:
    """Of each watched column that the profile knows and that has a distance of METHODS."""
    stored: dict[str, NumericProfile | CategoricalProfile] = {**profile.numeric, **profile.categorical}
    names = [name for name in spec.watched if name in stored and name in window.features and stored[name].method in METHODS]
    return {name: _distance(spec, profile, window, season, name) for name in names}


def null_span(spec: ModelSpec) -> timedelta:
    """How far back distances to the season are part of the null."""
    rules = spec.monitoring.seasonal
    return max(rules.weeks * WEEK, 4 * rules.null_windows * spec.monitoring.window)


def by_season(
    spec: ModelSpec, found: Sequence[Verdict], window: Predictions, season: Season | None, measured: dict[str, Seasonal]
) -> list[Verdict]:
    """The drift verdicts `found` against training, each replaced by the one against the season where that can tell."""
    if season is None or spec.monitoring.reference == "training":
        return list(found)
    return [_replaced(spec, verdict, window, season, measured.get(column_of(verdict.check))) for verdict in found]


def _replaced(spec: ModelSpec, verdict: Verdict, window: Predictions, season: Season, one: Seasonal | None) -> Verdict:
    column, rules = column_of(verdict.check), spec.monitoring.seasonal
    if one is None or verdict.outcome is Outcome.INCONCLUSIVE or verdict.check != f"{drift_kind(spec, column)}:{column}":
        return verdict
    null = _null(spec, season, column, window.window)
    if one.windows >= rules.minimum_windows and null is not None and np.isfinite(one.distance):
        return _judge(spec, verdict, one, null)
    if spec.monitoring.reference == "auto":
        return verdict
    reason = (
        f"the season has {one.windows} windows, monitoring.seasonal.minimum_windows asks for {rules.minimum_windows}; its null "
        f"needs {rules.null_windows} earlier windows"
    )
    evidence = {"rows": one.rows, "windows": one.windows, "training_distance": verdict.evidence.get("effect")}
    return Verdict(check=verdict.check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)


def _judge(spec: ModelSpec, training: Verdict, one: Seasonal, null: Null) -> Verdict:
    bars = spec.monitoring.drift
    threshold = max(bars.minimum_effect, null.threshold)
    fails = one.distance > threshold
    evidence: dict[str, Any] = training.evidence | {
        "effect": one.distance,
        "threshold": threshold,
        "null_threshold": null.threshold,
        "null_level": null.level,
        "above_act_effect": one.distance > bars.act_effect,
        "reference": "seasonal",
        "windows": one.windows,
        "null_windows": null.draws,
        "training_distance": training.evidence.get("effect"),
        "rows": one.rows,
    }
    reason = (
        f"distance {one.distance:.3f} from the same hours of {one.windows} recent weeks is {'above' if fails else 'within'} "
        f"{threshold:.3f} (null {null.threshold:.3f}, effect {bars.minimum_effect:g})"
    )
    return Verdict(check=training.check, outcome=Outcome.FAIL if fails else Outcome.PASS, reason=reason, evidence=evidence)


def _null(spec: ModelSpec, season: Season, column: str, window: Window) -> Null | None:
    """From the distances that clean earlier windows had to their own seasons; None when there are too few."""
    since = window.start - null_span(spec)
    known = {
        start: found[column]
        for start, found in season.recorded.items()
        if since <= start < window.start and column in found and season.clean(column, start, start + window.length)
    }
    if len(known) < spec.monitoring.seasonal.null_windows:
        return None
    places = [round((start - since) / window.length) for start in known]
    nothing: list[NDArray[np.int64]] = []
    drawn = DrawnWindows(nothing, places, float(len(known)), 1)
    return null_of(np.array([*known.values()]), drawn, 0, level_of(spec, "drift"))


def _distance(spec: ModelSpec, profile: Profile, window: Predictions, season: Season, name: str) -> Seasonal:
    stored: NumericProfile | CategoricalProfile = profile.numeric.get(name) or profile.categorical[name]
    starts = [
        start for start in same_hours(window.window, spec.monitoring.seasonal.weeks) if _usable(season, name, start, window)
    ]
    held = [counts for start in starts if (counts := season.counts(start, spec.monitoring.minimum_rows))]
    past = [one for counts in held for one in counts]
    if isinstance(stored, NumericProfile):
        live = Masses.of(window.features[name])
        reference = Masses.counted(one.numeric[name] for one in past if name in one.numeric)
        return Seasonal(live.distance(reference) / max(stored.std, SMALLEST_SCALE), len(held), live.rows)
    before = named_counts(one.categorical[name] for one in past if name in one.categorical)
    now = live_counts(window.features[name], stored.counts)
    return Seasonal(category_distance(before, now), len(held), sum(now.values()))


def _usable(season: Season, name: str, start: datetime, window: Predictions) -> bool:
    return season.clean(name, start, start + window.window.length)
