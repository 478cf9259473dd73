"""Data-fault checks of one window: columns that vanish, change unit, get stuck or lose their row; batches that came twice.

A fault is not drift: it alerts and freezes training until the feed is right again (rows of a faulted feed teach nonsense). Pure;
feeds/ has what is measured over a whole window.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.columns import categories, numbers
from include.lifecycle.monitoring.feeds.associations import encode, unhinged
from include.lifecycle.monitoring.feeds.reference import nulls_of
from include.lifecycle.monitoring.feeds.shapes import longest_run, repeated, worst_part
from include.lifecycle.monitoring.kinds import DATA_FAULT, column_of
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import ColumnProfile, NumericProfile, Profile
from include.lifecycle.monitoring.reference_parts import FeedReference
from include.lifecycle.sections.safety import FaultsSection
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import wilson
from include.lifecycle.verdicts import Outcome, Verdict

ROWS = "@rows"
"""The "column" of a fault of whole rows; no feature can be called so."""
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_GONE = 0.999


class Fault(NamedTuple):
    """What is wrong: its name, how much, in words."""

    name: str
    effect: float
    reason: str


class _Column(NamedTuple):
    """One column of a window: its values as they are compared (float or text), which are null, and its reference."""

    name: str
    values: NDArray[Any]
    nulls: NDArray[np.bool_]
    stored: ColumnProfile


def check_faults(spec: ModelSpec, profile: Profile, window: Predictions) -> list[Verdict]:
    """One verdict per watched feature that the profile knows, the first fault found names it; and one for the rows as a whole."""
    if window.rows < spec.monitoring.minimum_rows:
        reason = f"{window.rows} rows; monitoring.minimum_rows asks for {spec.monitoring.minimum_rows}"
        return [Verdict(check=DATA_FAULT, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": window.rows})]
    known = profile.numeric | profile.categorical
    watched = {name for name in spec.watched if name in window.features}
    columns = [_column(name, stored, window) for name, stored in known.items() if name in watched]
    rules = spec.monitoring.faults
    shifted = _shifted_joins(profile.feed, columns, rules) if profile.feed else {}
    verdicts = [_one(column, rules, profile, window, shifted.get(column.name)) for column in columns]
    return [*verdicts, _whole_rows(rules, profile.feed, columns, window)]


def faulty_columns(verdicts: list[Verdict]) -> frozenset[str]:
    """Columns whose data-fault verdict failed."""
    return frozenset(column_of(verdict.check) for verdict in verdicts if verdict.failed and verdict.check != DATA_FAULT)


def _column(name: str, stored: ColumnProfile, window: Predictions) -> _Column:
    raw = window.features[name]
    values = numbers(raw) if isinstance(stored, NumericProfile) else categories(raw)
    return _Column(name, values, nulls_of(values), stored)


def _one(column: _Column, rules: FaultsSection, profile: Profile, window: Predictions, shifted: Fault | None) -> Verdict:
    check, name, rows = f"{DATA_FAULT}:{column.name}", column.name, len(column.values)
    nulls = int(column.nulls.sum())
    evidence: dict[str, Any] = {"null_share": nulls / rows, "reference_null_share": column.stored.null_share, "rows": rows}
    fault = _null_fault(nulls, rows, column.stored, rules)
    if fault is None and isinstance(column.stored, NumericProfile):
        fault = _unit_fault(column.values[~column.nulls], column.stored, rules, evidence)
    if fault is None and (feed := profile.feed) is not None:
        fault = _stuck(column, profile, feed, rules, window) or _null_burst(column, feed, rules, window) or shifted
    if fault is None:
        return Verdict(check=check, outcome=Outcome.PASS, reason=f"{name}: nulls and scale as in training", evidence=evidence)
    evidence |= {"fault": fault.name, "effect": fault.effect, "severity": "critical", "rule": f"{DATA_FAULT}.{fault.name}"}
    return Verdict(check=check, outcome=Outcome.FAIL, reason=f"{name}: {fault.reason}", evidence=evidence)


def _null_fault(nulls: int, rows: int, stored: ColumnProfile, rules: FaultsSection) -> Fault | None:
    share, expected = nulls / rows, stored.null_share
    allowed = max(expected + rules.null_jump, min(stored.null_share_bar, (1 + expected) / 2))
    if share >= _GONE and allowed < _GONE:
        return Fault("missing", share - expected, f"the column is missing ({expected:.1%} nulls in training)")
    if (lower := wilson(nulls, rows, 0.99).lower) > allowed:
        told = f"{share:.1%} nulls (at least {lower:.1%}), {expected:.1%} in training, allowed {allowed:.1%}"
        return Fault("nulls", share - expected, told)
    return None


def _unit_fault(
    values: NDArray[np.float64], stored: NumericProfile, rules: FaultsSection, evidence: dict[str, Any]
) -> Fault | None:
    if not values.size:
        return None  # hardly filled in training, empty now: nothing to compare
    found, expected = np.quantile(values, _QUANTILES), np.array([stored.quantile(level) for level in _QUANTILES])
    if (found * expected <= 0).any():
        return None  # zeros or another sign: no common factor to tell
    ratios = found / expected
    ratio = float(ratios[_QUANTILES.index(0.5)])
    evidence["median_ratio"] = ratio
    if max(ratio, 1 / ratio) < rules.unit_factor or ratios.max() / ratios.min() > rules.same_factor:
        return None
    reason = f"median {found[2]:.4g} against {expected[2]:.4g} in training, every quantile x{ratio:.2g}: another unit?"
    return Fault("unit", abs(float(np.log(ratio))), reason)


def _stuck(column: _Column, profile: Profile, feed: FeedReference, rules: FaultsSection, window: Predictions) -> Fault | None:
    """One value for so long as hold-out windows never showed; a usual value (clear sight, no rain) may stay."""
    if column.name not in feed.run_bars:
        return None
    run = longest_run(column.values[~column.nulls])
    if run is None or run.share <= max(rules.stuck, feed.run_bars[column.name]):
        return None
    if _usual(profile.samples.get(column.name), run.value) > rules.usual_value:
        return None
    times = window.times[~column.nulls]
    since, until = _moment(times[run.first]), _moment(times[run.last])
    reason = f"the same value {run.value:.6g} in {run.share:.0%} of the rows on end, {since} to {until}: a stuck sensor?"
    return Fault("stuck", run.share - feed.run_bars[column.name], reason)


def _usual(sample: NDArray[np.float64] | None, value: float) -> float:
    """Share of training's sorted values that are this one."""
    if sample is None or not sample.size:
        return 0.0
    return float(np.searchsorted(sample, value, side="right") - np.searchsorted(sample, value, side="left")) / sample.size


def _null_burst(column: _Column, feed: FeedReference, rules: FaultsSection, window: Predictions) -> Fault | None:
    burst = worst_part(column.nulls)
    if burst is None or column.name not in feed.burst_bars:
        return None
    allowed = max(column.stored.null_share + rules.burst_jump, feed.burst_bars[column.name])
    if burst.lower <= allowed:
        return None
    since, until = _moment(window.times[burst.first]), _moment(window.times[burst.last])
    reason = f"{burst.share:.0%} nulls (at least {burst.lower:.0%}) from {since} to {until}, allowed {allowed:.0%}"
    return Fault("null_burst", burst.share - column.stored.null_share, reason)


def _shifted_joins(feed: FeedReference, columns: list[_Column], rules: FaultsSection) -> dict[str, Fault]:
    codes = {column.name: encode(feed.codings[column.name], column.values) for column in columns if column.name in feed.codings}
    pairs = [pair for pair in feed.associations if pair.first in codes and pair.second in codes]
    found = {}
    for name, lost in unhinged(feed.codings, pairs, codes, rules.association_lost).items():
        pair, left = max(lost, key=lambda one: one[0].strength)
        other = pair.second if pair.first == name else pair.first
        reason = (
            f"values as in training, but no longer with their rows: association with {other} {left:.2f}, {pair.strength:.2f} in "
            f"training, hold-out windows at least {pair.lowest:.2f}: a shifted join?"
        )
        found[name] = Fault("shifted_join", pair.strength - left, reason)
    return found


def _whole_rows(rules: FaultsSection, feed: FeedReference | None, columns: list[_Column], window: Predictions) -> Verdict:
    """Rows that came before: the same key, event time and features; without a key the same features."""
    keyless = np.fromiter((key is None for key in window.keys), dtype=np.bool_, count=window.rows)
    check = f"{DATA_FAULT}:{ROWS}"
    if window.total > window.rows:
        reason = f"{window.rows} rows are a sample of {window.total}: what came twice is mostly not in it twice"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": window.rows})
    if feed is None and keyless.mean() > rules.duplicates:
        reason = "requests carry no keys, and the profile is from before repeats in the hold-out were counted"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence={"rows": window.rows})
    identity = [window.keys, np.where(keyless, 0, window.times), *(column.values for column in columns)]
    twice = int(repeated(identity, window.rows).sum())
    lower = wilson(twice, window.rows, 0.99).lower
    allowed = rules.duplicates + (feed.duplicate_bar if feed else 0.0) * float(keyless.mean())
    share = twice / window.rows
    evidence: dict[str, Any] = {"rows": window.rows, "repeated": twice, "effect": share, "threshold": allowed, "lower": lower}
    told = f"{share:.1%} of the rows repeat an earlier one (at least {lower:.1%}), allowed {allowed:.1%}"
    if lower <= allowed:
        return Verdict(check=check, outcome=Outcome.PASS, reason=told, evidence=evidence)
    evidence |= {"fault": "duplicates", "severity": "critical", "rule": f"{DATA_FAULT}.duplicates"}
    return Verdict(check=check, outcome=Outcome.FAIL, reason=f"{told}: a batch that was sent twice?", evidence=evidence)


def _moment(microseconds: Any) -> str:
    return f"{np.datetime64(int(microseconds), 'us').astype('datetime64[m]')} UTC"
