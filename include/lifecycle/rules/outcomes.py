"""Rules on performance and on the business's numbers: a rising ladder, floors of known metrics, queries that are there."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from include.lifecycle.origins import KeyPath
from include.lifecycle.rules.data import WINDOW_BINDS
from include.lifecycle.rules.evaluation import METRIC_NAMES
from include.lifecycle.rules.queries import query_problems
from include.lifecycle.rules.view import Found, Rule, View, did_you_mean, number

LADDER = ("notice", "warn", "act", "concept", "rollback")


def _ladder_rises(view: View) -> Found:
    base: KeyPath = ("monitoring", "performance")
    for low, high in pairwise(LADDER):
        below, above = (number(view.get(f"monitoring.performance.{name}")) for name in (low, high))
        if below is not None and above is not None and below > above:
            path = view.blamed((*base, high), (*base, low))
            yield path, f"the ladder must rise: {low} is {below:g} and {high} is {above:g}"


def _floors_are_metrics(view: View) -> Found:
    floors, task = view.get("monitoring.performance.floors"), view.get("objective.task")
    known = METRIC_NAMES.get(task, ()) if isinstance(task, str) else ()
    for name in floors if isinstance(floors, dict) and known else ():
        if name not in known:
            hint = did_you_mean(str(name), list(known))
            path = ("monitoring", "performance", "floors", name)
            yield path, f"{name!r} is no metric of {task}{hint}; allowed: {', '.join(known)}"


def _business_can_be_asked(view: View) -> Found:
    listed = view.get("monitoring.business")
    items = [item if isinstance(item, dict) else {} for item in (listed if isinstance(listed, list) else ())]
    names = Counter(item["name"] for item in items if isinstance(item.get("name"), str))
    for place, item in enumerate(items):
        path: KeyPath = ("monitoring", "business", place)
        if names[item.get("name", "")] > 1:
            yield (*path, "name"), f"{item['name']!r} is the name of {names[item['name']]} of them; allowed: each name once"
        yield from _query(view, (*path, "query"), item.get("query"))
        weeks, wanted = number(item.get("weeks", 8)), number(item.get("minimum_weeks", 4))
        if weeks is not None and wanted is not None and wanted > weeks:
            yield (*path, "minimum_weeks"), f"got {wanted:g}; allowed: at most weeks, which is {weeks:g}"


def _query(view: View, path: KeyPath, query: Any) -> Found:
    if not isinstance(query, str) or not query.endswith(".sql"):
        return
    if problems := list(query_problems(view, path, query)):
        yield from problems
    else:
        text = (view.sql_dir / query).read_text(encoding="utf-8", errors="replace")
        if missing := [name for name in WINDOW_BINDS if name not in text]:
            yield path, f"include/sql/{query} does not use {' and '.join(missing)}; it would read beyond its window"


RULES: tuple[Rule, ...] = (_ladder_rises, _floors_are_metrics, _business_can_be_asked)
"""In the order in which they are told."""
