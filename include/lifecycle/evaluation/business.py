"""Gate on a metric in the business's own unit: SQL or Python per row, by a floor and against the champion."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.evaluation.expressions import numbers_of, scored_table
from include.lifecycle.evaluation.judging import HOLDS, bounds, limit_verdict, mean_interval, mirrored
from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats, Interval
from include.lifecycle.storage import sha256_of
from include.lifecycle.verdicts import Verdict
from include.settings import PROJECT_ROOT

if TYPE_CHECKING:
    import pandas as pd

BUSINESS = "business"
PREFIX = "include."


def business_values(spec: ModelSpec, rows: pd.DataFrame, y: Floats, p: Floats) -> Floats:
    """The metric of each row (n,), NaN where it is null; SpecInvalidError when it cannot be computed."""
    business = spec.evaluation.business
    table = scored_table(spec, rows, y, p)
    if business.expression is not None:
        return numbers_of(table, business.expression, f"{spec.name}: evaluation.business.expression")
    function, _ = business_function(spec)
    where = f"{spec.name}: evaluation.business.function {business.function}"
    try:
        values = np.asarray(function(table), dtype=np.float64)
    except Exception as problem:
        raise SpecInvalidError(f"{where} failed: {type(problem).__name__}: {problem}") from problem
    if values.shape != (len(table),):
        raise SpecInvalidError(f"{where} returned shape {values.shape}; expected one number per row, ({len(table)},)")
    return values


def business_function(spec: ModelSpec, root: Path = PROJECT_ROOT) -> tuple[Callable[[pd.DataFrame], Any], str]:
    """The Python function and its file's sha256; SpecInvalidError when it is not in a file below include/."""
    named = spec.evaluation.business.function or ""
    module, _, name = named.partition(":")
    where = f"{spec.name}: evaluation.business.function"
    parts = module.removeprefix(PREFIX).split(".")
    file = (root / "include").joinpath(*parts).with_suffix(".py")
    if not all(part.isidentifier() for part in parts) or not file.is_file():
        raise SpecInvalidError(f"{where}: got {named!r}; there is no file {file}")
    function = getattr(importlib.import_module(PREFIX + ".".join(parts)), name, None)
    if not callable(function):
        raise SpecInvalidError(f"{where}: {file} has no function {name!r}")
    return function, sha256_of(file)


def business_floor(spec: ModelSpec, sample: Sample, rows: pd.DataFrame, p: Floats) -> list[Verdict]:
    """The metric on the hold-out against `business.floor`; none when no floor is set."""
    business = spec.evaluation.business
    if business.floor is None:
        return []
    values = business_values(spec, rows, sample.y, p)
    value = _aggregated(spec, sample, values)
    higher = business.direction == "higher"
    limit = -business.floor if higher else business.floor
    evidence = _evidence(spec, values) | {"floor": business.floor}
    verdict = limit_verdict(
        f"{BUSINESS}:floor", "value", mirrored(value) if higher else value, limit, sample, business.act, evidence
    )
    told = verdict.evidence | value.evidence() | {"limit": business.floor}
    if sample.shortage:
        return [verdict.model_copy(update={"evidence": told})]
    reason = f"{business.aggregate} business metric {bounds(value)} {HOLDS[verdict.outcome]} the floor {business.floor:g}"
    return [verdict.model_copy(update={"evidence": told, "reason": reason})]


def business_comparison(
    spec: ModelSpec, sample: Sample, rows: pd.DataFrame, new: Floats, old: Floats, champion: int
) -> list[Verdict]:
    """How much worse than the champion on the same rows, against `business.margin`; none when no margin is set."""
    business = spec.evaluation.business
    if business.margin is None:
        return []
    first, second = (business_values(spec, rows, sample.y, p) for p in (new, old))
    change = _aggregated(spec, sample, first - second)
    lost = mirrored(change) if business.direction == "higher" else change
    evidence = _evidence(spec, first) | {"margin": business.margin, "champion_version": champion}
    what = f"loss in {business.aggregate} business metric against version {champion}"
    return [limit_verdict(f"{BUSINESS}:champion", what, lost, business.margin, sample, business.act, evidence)]


def _aggregated(spec: ModelSpec, sample: Sample, values: Floats) -> Interval:
    found = mean_interval(sample, values)
    times = float(np.isfinite(values).sum()) if spec.evaluation.business.aggregate == "total" else 1.0
    ends = {name: getattr(found, name) * times for name in ("estimate", "lower", "upper")}
    return Interval(**ends, confidence=found.confidence)


def _evidence(spec: ModelSpec, values: Floats) -> dict[str, Any]:
    business = spec.evaluation.business
    told = {
        "direction": business.direction,
        "aggregate": business.aggregate,
        "rows_without_value": int((~np.isfinite(values)).sum()),
    }
    if business.expression is not None:
        return told | {"expression": business.expression}
    return told | {"function": business.function, "function_sha256": business_function(spec)[1]}
