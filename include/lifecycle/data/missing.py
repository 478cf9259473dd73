"""Missing values: the share of nulls (and of numbers that are none) in each feature, against its limit. Pure."""

from __future__ import annotations

from include.lifecycle.data.findings import Finding, passed
from include.lifecycle.spec import ModelSpec


def allowed_share(spec: ModelSpec, column: str) -> float:
    """`columns.<name>.max_missing` where it is set, else `data.missing.max_share`."""
    own = spec.columns[column].max_missing if column in spec.columns else None
    return spec.data.missing.max_share if own is None else own


def missing_finding(spec: ModelSpec, column: str, missing: int, rows: int) -> Finding:
    """Whether at most the allowed share of a feature's rows is missing."""
    allowed = allowed_share(spec, column)
    return Finding(
        check="missing_values",
        column=column,
        outcome=passed(missing > allowed * rows),
        rows=rows,
        unexpected=missing,
        detail=f"{missing / rows if rows else 0:.2%} missing, allowed {allowed:.2%}",
    )
