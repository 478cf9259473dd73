"""Groups of rows by an attribute, cut alike in hold-out and live traffic, and their rates in the hold-out for bias.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.fairness import NULLS, group_rates, measures_of
from include.lifecycle.evaluation.sample import sample_of
from include.lifecycle.monitoring.columns import categories, numbers
from include.lifecycle.monitoring.reference_parts import GroupReference

if TYPE_CHECKING:
    import pandas

    from include.lifecycle.spec import ModelSpec

Edges = Mapping[str, list[float]]


def group_names(columns: Mapping[str, Any], bins: int, edges: Edges) -> NDArray[np.object_]:
    """The group of each row (n,): the attribute's value, or all values joined; nulls are a group of their own.

    A numeric attribute (float array) with `edges`, or with more than `bins` values, is cut there, or at its own quantiles.
    """
    parts = [_names(values, bins, edges.get(name, [])) for name, values in columns.items()]
    if len(parts) == 1:
        return parts[0]
    return np.array([" and ".join(values) for values in zip(*parts, strict=True)], dtype=object)


def _names(values: Any, bins: int, edges: list[float]) -> NDArray[np.object_]:
    if not is_numeric(values):
        return np.array([NULLS if value is None else value for value in categories(values)], dtype=object)
    plain = numbers(values)
    known = edges or edges_of(plain, bins)
    if not known:
        return np.array([NULLS if value is None else value for value in categories(plain)], dtype=object)
    names = [_between(lower, upper) for lower, upper in zip([-np.inf, *known], [*known, np.inf], strict=True)]
    places = np.searchsorted(np.array(known), plain, side="right")
    return np.where(np.isfinite(plain), np.array(names, dtype=object)[places], NULLS)


def is_numeric(values: Any) -> bool:
    """Whether these are numbers: by type, or (labels' objects) because all that is not null is one, and none is a truth value."""
    kind = np.asarray(values).dtype.kind
    if kind != "O":
        return kind in "fiu"
    held = [value for value in values if value is not None and value == value]  # noqa: PLR0124 - NaN differs from itself
    return bool(held) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in held)


def _between(lower: float, upper: float) -> str:
    if not np.isfinite(lower):
        return f"below {upper:.6g}"
    return f"{lower:.6g} and above" if not np.isfinite(upper) else f"{lower:.6g} to {upper:.6g}"


def edges_of(values: NDArray[np.float64], bins: int) -> list[float]:
    """Inner quantiles at which a number is cut into `bins` groups; none when it has no more than `bins` values."""
    finite = values[np.isfinite(values)]
    if np.unique(finite).size <= bins:
        return []
    return [float(value) for value in np.unique(np.quantile(finite, np.linspace(0, 1, bins + 1)[1:-1]))]


def group_references(spec: ModelSpec, holdout: pandas.DataFrame, predictions: NDArray[np.float64]) -> list[GroupReference]:
    """Rates and their standard errors (bootstrap over evaluation's blocks) by group in the hold-out, per attribute that it has.

    `predictions`: (n,) or (n, classes) of its rows.
    """
    fairness = spec.evaluation.fairness
    attributes = [*([name] for name in fairness.attributes), *fairness.intersections]
    found: list[GroupReference] = []
    if not attributes:
        return found
    sample = sample_of(spec, holdout)
    for names in attributes:
        if any(name not in holdout for name in names):
            continue
        columns = {name: _column(spec, holdout, name) for name in names}
        edges = {name: cut for name, values in columns.items() if (cut := _edges(values, fairness.bins))}
        groups = group_names(columns, fairness.bins, edges)
        for measure in measures_of(spec, sample.y, predictions):
            rates = group_rates(measure, groups, sample)
            large = [at for at in range(len(rates.names)) if rates.support[at] >= fairness.minimum_group]
            values = {rates.names[at]: float(rates.rate[at]) for at in large}
            errors = {rates.names[at]: float(np.nanstd(rates.resampled[:, at])) for at in large}
            found.append(
                GroupReference(attribute="*".join(names), measure=measure.name, rates=values, errors=errors, edges=edges)
            )
    return found


def _column(spec: ModelSpec, table: pandas.DataFrame, name: str) -> Any:
    if name in spec.features.all:
        return numbers(table[name]) if name in spec.features.numeric else categories(table[name])
    plain = table[name].astype(object).where(table[name].notna(), None).to_numpy(object)
    return numbers(plain) if is_numeric(plain) else categories(plain)


def _edges(values: Any, bins: int) -> list[float]:
    return edges_of(values, bins) if values.dtype.kind == "f" else []
