"""Rules on how drift is measured and how windows are cut."""

from __future__ import annotations

from typing import get_args

from include.lifecycle.rules.view import Found, Rule, View, number
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


def _full_windows_can_be_judged(view: View) -> Found:
    """A window that is cut below the smallest one that is judged would be inconclusive for ever."""
    for by, size, least in (("count", "window_rows", "minimum_rows"), ("labels", "window_labels", "minimum_labels")):
        if view.get("monitoring.window_by") != by:
            continue
        rows, minimum = number(view.get(f"monitoring.{size}")), number(view.get(f"monitoring.{least}"))
        if rows is not None and minimum is not None and rows < minimum:
            path = view.blamed(("monitoring", size), ("monitoring", least))
            told = f"every window would be inconclusive: monitoring.{least} is {minimum:.0f}, monitoring.{size} {rows:.0f}"
            yield path, f"{told}; allowed: {least} at most {size}"


RULES: tuple[Rule, ...] = (_methods_suit_their_columns, _full_windows_can_be_judged)
