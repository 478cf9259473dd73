"""Rules on how drift is measured and how windows are cut."""

from __future__ import annotations

from typing import get_args

from include.lifecycle.rules.view import Found, Rule, View
from include.lifecycle.sections.monitoring import CategoricalMethod, NumericMethod


def _methods_suit_their_columns(view: View) -> Found:
    columns = view.get("columns")
    kinds = {name: ("numeric", get_args(NumericMethod)) for _, name in view.texts("features.numeric")}
    kinds |= {name: ("categorical", get_args(CategoricalMethod)) for _, name in view.texts("features.categorical")}
    for name, special in columns.items() if isinstance(columns, dict) else ():
        method = special.get("method") if isinstance(special, dict) else None
        if not isinstance(method, str):
            continue
        path = ("columns", name, "method")
        if name not in kinds:
            yield path, f"{name!r} is no feature, so its drift is not measured"
        elif method not in kinds[name][1]:
            kind, allowed = kinds[name]
            yield path, f"got {method!r}; allowed for the {kind} feature {name!r}: {', '.join(allowed)}"


RULES: tuple[Rule, ...] = (_methods_suit_their_columns,)
