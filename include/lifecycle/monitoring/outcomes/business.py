"""Checks `business:<name>`: a number of the business per window, held against the same window of recent weeks.

The worsening d = mean of k weeks - value (turned by `direction`) fails when d / |mean| lies above `minimum_effect` and d above
the prediction bound of one new value from k, t(k - 1; 1 - level) s sqrt(1 + 1 / k) (Hahn & Meeker 1991), at the level of the
model's false-alarm budget shared by its business numbers. It passes when the worsening is smaller than the minimum effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from include.lifecycle.data.s3 import S3Account
from include.lifecycle.data.source import open_source
from include.lifecycle.data.sql import Value, read_query, render_query
from include.lifecycle.data.training_source import Access
from include.lifecycle.errors import LifecycleError, SettingsError, SourceQueryError
from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.kinds import BUSINESS
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.sections.outcomes import BusinessMetricSection
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict
from include.settings import Settings

Ask = Callable[[BusinessMetricSection, Window], float | None]
"""The number of one window; None where the query gives no row or null. Raises LifecycleError."""


def check_business(spec: ModelSpec, window: Window, ask: Ask | None) -> list[Verdict]:
    """One verdict per number; none without numbers. A query that fails is inconclusive and hides no other."""
    return [_guarded(spec, number, window, ask) for number in spec.monitoring.business] if ask else []


def _guarded(spec: ModelSpec, number: BusinessMetricSection, window: Window, ask: Ask) -> Verdict:
    try:
        value = ask(number, window)
        weeks = (timedelta(weeks=week) for week in range(1, number.weeks + 1))
        before = [ask(number, Window(window.start - week, window.end - week)) for week in weeks]
    except LifecycleError as problem:
        return Verdict(check=f"{BUSINESS}:{number.name}", outcome=Outcome.INCONCLUSIVE, reason=str(problem)[:500])
    return judge_business(spec, number, value, [one for one in before if one is not None])


def judge_business(spec: ModelSpec, number: BusinessMetricSection, value: float | None, before: Sequence[float]) -> Verdict:
    """The verdict on a window's value, given those of the weeks before. Pure."""
    check = f"{BUSINESS}:{number.name}"
    evidence: dict[str, Any] = {"weeks": len(before), "minimum_effect": number.minimum_effect, "measure": number.name}
    evidence |= {"severity": "warn"} | ({} if value is None else {"value": value})
    if value is None or len(before) < number.minimum_weeks or len(before) < 2:
        missing = "the query gives no value" if value is None else f"{len(before)} weeks with a value"
        return _verdict(check, Outcome.INCONCLUSIVE, f"{missing}; {number.minimum_weeks} weeks are asked for", evidence)
    mean, spread = float(np.mean(before)), float(np.std(before, ddof=1))
    worse = (mean - value) if number.direction == "higher" else (value - mean)
    bound = _bound(spec, len(before)) * spread
    effect = worse / abs(mean) if mean else math.copysign(1.0, worse) * (worse != 0)
    threshold = max(number.minimum_effect, bound / abs(mean) if mean else 0.0)
    evidence |= {"reference_value": mean, "deviation": spread, "effect": max(effect, 0.0), "threshold": threshold}
    words = f"{number.name} is {value:.4g} against {mean:.4g} in {len(before)} weeks before"
    if effect <= number.minimum_effect:
        return _verdict(check, Outcome.PASS, f"{words}: not worse by {number.minimum_effect:.0%}", evidence)
    outcome = Outcome.FAIL if worse > bound else Outcome.INCONCLUSIVE
    beyond = "beyond" if worse > bound else "within"
    return _verdict(check, outcome, f"{words}: worse by {abs(effect):.1%}, {beyond} what weeks differ by ({bound:.3g})", evidence)


def _bound(spec: ModelSpec, weeks: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(weeks - 1, 1 - level_of(spec, "business"))) * math.sqrt(1 + 1 / weeks)


def _verdict(check: str, outcome: Outcome, reason: str, evidence: dict[str, Any]) -> Verdict:
    return Verdict(check=check, outcome=outcome, reason=reason, evidence=evidence)


def database_asker(spec: ModelSpec, settings: Settings, access: Access) -> Ask:
    """Asks the database of the model's connection, with :window_start and :window_end bound; remembers what it was told."""
    told: dict[tuple[str, Window], float | None] = {}

    def _remembered(number: BusinessMetricSection, window: Window) -> float | None:
        if (number.name, window) not in told:
            told[number.name, window] = _ask(number, window)
        return told[number.name, window]

    def _ask(number: BusinessMetricSection, window: Window) -> float | None:
        where = f"business number {number.name} of {spec.name} ({number.query})"
        if access is None or isinstance(access, S3Account):
            raise SettingsError(f"{where}: connection {spec.data.connection!r} gives no database")
        source = open_source(access, where)
        values: dict[str, Value] = {"window_start": window.start, "window_end": window.end}
        text = read_query(settings.sql_dir, number.query, model=spec.name)
        found: list[Any] = []
        with source.stream(render_query(text, values, where=where, dialect=source.dialect)) as rows:
            if "value" not in rows.schema.names:
                raise SourceQueryError(f"{where}: column value is missing; the query must return one row with it")
            for batch in rows:
                found += batch.column("value").to_pylist()
        if len(found) > 1:
            raise SourceQueryError(f"{where}: {len(found)} rows; the query must return one row")
        return _number(found[0], where) if found and found[0] is not None else None

    return _remembered


def _number(value: Any, where: str) -> float | None:
    try:
        plain = float(value)
    except (TypeError, ValueError) as problem:
        raise SourceQueryError(f"{where}: {value!r} is no number") from problem
    return plain if math.isfinite(plain) else None
