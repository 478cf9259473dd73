"""Columns that stand for something of their own: who is served (population), or by what is measured (equipment).

Their drift is a signal of its own kind, with an alert of its own; it is measured as that of any column.
"""

from __future__ import annotations

from include.lifecycle.monitoring.kinds import COVARIATE, EQUIPMENT, POPULATION
from include.lifecycle.spec import ModelSpec

_KINDS = {"population": POPULATION, "equipment": EQUIPMENT}


def drift_kind(spec: ModelSpec, column: str) -> str:
    """The kind of signal that this column's drift raises: covariate, unless `columns.<name>.role` says otherwise."""
    special = spec.columns.get(column)
    return _KINDS[special.role] if special is not None and special.role is not None else COVARIATE
