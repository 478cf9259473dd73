"""Metrics from a file against thresholds from a YAML: what `cli check-quality` answers to a CI job. Pure but for reading.

Whoever wrote the metrics, the verdicts are three-valued: a bound across its limit, a metric that is missing and too few rows are
inconclusive, never a pass.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from include.lifecycle.errors import SettingsError
from include.lifecycle.rules.view import did_you_mean
from include.lifecycle.verdicts import Outcome, Verdict

BETTER_BELOW = frozenset(
    ["log_loss", "brier_score", "calibration_error", "mae", "mse", "rmse", "mape", "mean_absolute_error", "mean_squared_error"]
)
"""Metrics for which a bare number in the thresholds is a maximum; for all other names it is a minimum."""
ROWS, MINIMUM_ROWS = "rows", "minimum_rows"


@dataclass(frozen=True)
class Limit:
    """One bound of one metric: a minimum or a maximum, itself allowed."""

    metric: str
    side: Literal["min", "max"]
    value: float


@dataclass(frozen=True)
class Thresholds:
    """All limits of a file, and the fewest rows on which a verdict may rest (0: the file does not say)."""

    limits: tuple[Limit, ...]
    minimum_rows: int = 0


@dataclass(frozen=True)
class MeasuredQuality:
    """Metrics by name; `rows` is how many they were measured on, None when the file does not say."""

    metrics: Mapping[str, float]
    rows: int | None


def read_thresholds(path: Path, section: str = "") -> Thresholds:
    """Thresholds of the YAML file `path`, below the dotted keys of `section`.

    `accuracy: 0.85` is a minimum (a maximum for BETTER_BELOW), `{min: ..., max: ...}` says both; `minimum_rows` counts rows.

    Raises:
        SettingsError: the file cannot be read, has no such section, no threshold, or something else than numbers.
    """
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise SettingsError(f"thresholds {path} cannot be read: {problem}") from problem
    for key in section.split(".") if section else []:
        if not isinstance(content, dict) or key not in content:
            there = list(map(str, content)) if isinstance(content, dict) else []
            raise SettingsError(f"thresholds {path} have no section {section!r}{did_you_mean(key, there)}")
        content = content[key]
    if not isinstance(content, dict) or not set(content) - {MINIMUM_ROWS}:
        raise SettingsError(f"thresholds {path}: got {content!r}; expected a mapping such as `accuracy: 0.85`")
    limits = [limit for name, told in content.items() if name != MINIMUM_ROWS for limit in _limits(path, str(name), told)]
    return Thresholds(tuple(limits), int(_number(path, MINIMUM_ROWS, content.get(MINIMUM_ROWS, 0))))


def read_metrics(path: Path) -> MeasuredQuality:
    """Metrics of the JSON file `path`: `{"metrics": {name: number}, "rows": n}`, or the flat mapping itself.

    `cli evaluate --metrics-file` and a version's `evaluation.json` are of the first form. What is no number is left out.

    Raises:
        SettingsError: the file cannot be read, or holds no number at all.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise SettingsError(f"metrics {path} cannot be read: {problem}") from problem
    told = content.get("metrics", content) if isinstance(content, dict) else None
    numbers = {str(name): float(value) for name, value in told.items() if _is_number(value)} if isinstance(told, dict) else {}
    if not numbers:
        raise SettingsError(f'metrics {path}: no number found; expected {{"metrics": {{"accuracy": 0.91, ...}}, "rows": 5000}}')
    rows = content.get(ROWS)
    return MeasuredQuality(numbers, int(rows) if _is_number(rows) else None)


def check_quality(measured: MeasuredQuality, thresholds: Thresholds) -> list[Verdict]:
    """One verdict per limit. Where `<metric>_lower` and `<metric>_upper` are told, the interval must lie on the right side."""
    return [_judge(measured, limit, thresholds.minimum_rows) for limit in thresholds.limits]


def _judge(measured: MeasuredQuality, limit: Limit, minimum_rows: int) -> Verdict:
    check, value = f"quality:{limit.metric}", measured.metrics.get(limit.metric, math.nan)
    evidence: dict[str, Any] = {"metric": limit.metric, limit.side: limit.value, "rows": measured.rows}
    if not math.isfinite(value):
        hint = did_you_mean(limit.metric, list(measured.metrics))
        return Verdict(
            check=check, outcome=Outcome.INCONCLUSIVE, reason=f"{limit.metric} was not measured{hint}", evidence=evidence
        )
    lower, upper = _interval(measured, limit.metric, value)
    evidence |= {"value": value, "lower": lower, "upper": upper}
    if minimum_rows and (measured.rows is None or measured.rows < minimum_rows):
        told = "an unknown number of" if measured.rows is None else str(measured.rows)
        reason = f"too few to tell: measured on {told} rows, minimum_rows is {minimum_rows}"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason, evidence=evidence)
    outcome = _side(lower, upper, limit)
    shown = f"{value:.4f}" + (f" [{lower:.4f}, {upper:.4f}]" if lower < upper else "")
    word = {Outcome.PASS: "holds", Outcome.FAIL: "misses", Outcome.INCONCLUSIVE: "is not clearly on one side of"}[outcome]
    bound = "minimum" if limit.side == "min" else "maximum"
    return Verdict(
        check=check, outcome=outcome, reason=f"{limit.metric} {shown} {word} the {bound} {limit.value:g}", evidence=evidence
    )


def _side(lower: float, upper: float, limit: Limit) -> Outcome:
    good, bad = (
        (lower >= limit.value, upper < limit.value) if limit.side == "min" else (upper <= limit.value, lower > limit.value)
    )
    return Outcome.PASS if good else Outcome.FAIL if bad else Outcome.INCONCLUSIVE


def _interval(measured: MeasuredQuality, metric: str, value: float) -> tuple[float, float]:
    ends = [measured.metrics.get(f"{metric}_{end}", math.nan) for end in ("lower", "upper")]
    return (ends[0], ends[1]) if all(map(math.isfinite, ends)) else (value, value)


def _limits(path: Path, metric: str, told: Any) -> list[Limit]:
    if not isinstance(told, dict):
        return [Limit(metric, "max" if metric in BETTER_BELOW else "min", _number(path, metric, told))]
    if not told or set(told) - {"min", "max"}:
        raise SettingsError(f"thresholds {path}: {metric}: got {told!r}; allowed: a number, or {{min: number, max: number}}")
    sides: tuple[Literal["min", "max"], ...] = ("min", "max")
    return [Limit(metric, side, _number(path, f"{metric}.{side}", told[side])) for side in sides if side in told]


def _number(path: Path, name: str, value: Any) -> float:
    if not _is_number(value):
        raise SettingsError(f"thresholds {path}: {name}: got {value!r}; allowed: a number")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
