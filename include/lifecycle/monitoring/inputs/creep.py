"""Slow creep: the season moves along with what it watches, so once a day recent weeks together are compared with training. Pure.

Judged by what stretches of the hold-out differ from training by themselves (creep_reference.py). It supports a retraining.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.inputs.masses import Masses, named_counts
from include.lifecycle.monitoring.inputs.season import WEEK, Season, spread_starts
from include.lifecycle.monitoring.kinds import CREEP
from include.lifecycle.monitoring.nulls import Null
from include.lifecycle.monitoring.profile import NumericProfile, Profile
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.distances import SMALLEST_SCALE, NumericReference, category_distance
from include.lifecycle.verdicts import Outcome, Verdict

DAY = timedelta(days=1)


def check_creep(spec: ModelSpec, profile: Profile, window: Window, season: Season | None) -> list[Verdict]:
    """One verdict per watched column in the last window of each day (UTC); none in others, nor when it is switched off."""
    nulls = profile.inputs.creep if profile.inputs else {}
    if season is None or not spec.monitoring.creep.weeks or not nulls or not _ends_a_day(window):
        return []
    starts = spread_starts(window, spec.monitoring.creep.weeks, spec.monitoring.creep.windows)
    return [_column(spec, profile, window, season, name, null, starts) for name, null in nulls.items() if name in spec.watched]


def _ends_a_day(window: Window) -> bool:
    return window.length >= DAY or window.end.timestamp() % DAY.total_seconds() == 0


def _column(
    spec: ModelSpec, profile: Profile, window: Window, season: Season, name: str, null: Null, starts: list[datetime]
) -> Verdict:
    check, rules = f"{CREEP}:{name}", spec.monitoring.creep
    clean = [start for start in starts if season.clean(name, start, start + window.length)]
    held = {start: counts for start in clean if (counts := season.counts(start, spec.monitoring.minimum_rows))}
    spanned = window.start - min(held, default=window.start)
    rows, distance = _distance(profile, name, [one for counts in held.values() for one in counts])
    if spanned < rules.minimum_weeks * WEEK or not np.isfinite(distance):
        reason = (
            f"clean windows reach back {spanned.days} days; monitoring.creep.minimum_weeks asks for {rules.minimum_weeks} weeks"
        )
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"windows": len(held), "rows": rows})
    threshold = max(rules.minimum_effect, null.threshold)
    evidence = {
        "effect": distance,
        "threshold": threshold,
        "minimum_effect": rules.minimum_effect,
        "null_threshold": null.threshold,
        "null_level": null.level,
        "severity": "warn",
        "reference": "training",
        "windows": len(held),
        "days": spanned.days,
        "rows": rows,
    }
    fails = distance > threshold
    reason = (
        f"the last {spanned.days} days lie {distance:.3f} from training, {'above' if fails else 'within'} {threshold:.3f} "
        f"(null {null.threshold:.3f}, effect {rules.minimum_effect:g})"
    )
    return Verdict(check=check, outcome=Outcome.FAIL if fails else Outcome.PASS, reason=reason, evidence=evidence)


def _distance(profile: Profile, name: str, past: list[WindowCounts]) -> tuple[int, float]:
    """Rows with a value, and how far they lie from training's: normed Wasserstein, or Jensen-Shannon."""
    stored = profile.numeric.get(name) or profile.categorical.get(name)
    if isinstance(stored, NumericProfile):
        masses = Masses.counted(one.numeric[name] for one in past if name in one.numeric)
        if not masses.values.size or name not in profile.samples:
            return 0, float("nan")
        reference = NumericReference(profile.samples[name], max(stored.std, SMALLEST_SCALE))
        return masses.rows, reference.on_grid(masses.values)(masses.weights.astype(np.int64))
    if stored is None:
        return 0, float("nan")
    counts = named_counts(one.categorical[name] for one in past if name in one.categorical)
    return sum(counts.values()), category_distance(stored.counts, counts)
