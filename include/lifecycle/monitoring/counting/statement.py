"""The counts of a window as one SQL statement, for rows that lie in a database or warehouse: only counts travel.

Cells are found by PostgreSQL's `width_bucket`, elsewhere by a tree of CASEs (standard SQL). The rows are a query's; each feature
is a column of it, and `prediction` the model's answer (a class by its name).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from include.lifecycle.monitoring.counting.counts import CategoryCounts, Floats, NumericCounts, WindowCounts
from include.lifecycle.monitoring.counting.scheme import Scheme
from include.lifecycle.monitoring.profile import PREDICTION

PREDICTION_COLUMN = "prediction"
_NULL, _REST, _NAMED = "null", "rest", "is "
_LARGEST = 1.7976931348623157e308

Execute = Callable[[str], Iterable[tuple[Any, ...]]]
"""Runs one statement and gives its rows."""


def count_query(execute: Execute, dialect: str, query: str, scheme: Scheme, columns: Iterable[str] | None = None) -> WindowCounts:
    """Count the rows of a query where they lie. `dialect`: SQLAlchemy's name; `columns`: which ones of the scheme (default all).

    The query is the caller's own and must hold no `;`; names and categories are quoted.
    """
    chosen = list(scheme.columns if columns is None else columns)
    found: dict[str, dict[str, tuple[int, float]]] = {name: {} for name in chosen}
    rows = 0
    for name, cell, count, total in execute(count_statement(dialect, query, scheme, chosen)):
        if name is None:
            rows = int(count)
        else:
            found[name][cell] = int(count), float(total or 0.0)
    numeric = {name: _numeric(scheme.edges[name], found[name]) for name in chosen if name in scheme.edges}
    return WindowCounts(rows, numeric, {name: _categorical(found[name]) for name in chosen if name in scheme.categories})


def count_statement(dialect: str, query: str, scheme: Scheme, columns: Iterable[str]) -> str:
    """SQL that gives (column, cell, rows, sum of values); the row without a column is the number of all rows."""
    parts = ["SELECT NULL AS name, NULL AS cell, count(*) AS n, NULL AS total FROM counted"]
    for name in columns:
        column = _quoted(dialect, PREDICTION_COLUMN if name == PREDICTION else name)
        if name in scheme.edges:
            cell, value = _cell_of_number(dialect, column, scheme.edges[name]), f"CASE WHEN {_finite(column)} THEN {column} END"
        else:
            cell, value = _cell_of_text(column, scheme.categories[name]), "NULL"
        inner = f"SELECT {cell} AS cell, {value} AS val FROM counted"  # noqa: S608 - names and categories are quoted
        total = "sum(val)" if name in scheme.edges else "NULL"
        parts.append(f"SELECT {_text(name)} AS name, cell, count(*) AS n, {total} AS total FROM ({inner}) one GROUP BY cell")  # noqa: S608
    return f"WITH counted AS (\n{query}\n)\n" + "\nUNION ALL\n".join(parts)


def _cell_of_number(dialect: str, column: str, edges: Floats) -> str:
    if dialect == "postgresql":
        above = ", ".join(repr(float(edge)) for edge in np.nextafter(edges, np.inf))  # width_bucket's cells are closed below
        found = f"CAST(width_bucket(CAST({column} AS double precision), CAST(ARRAY[{above}] AS double precision[])) AS varchar)"
    else:
        found = _tree(column, edges, 0, edges.size)
    return f"CASE WHEN {_finite(column)} THEN {found} ELSE {_text(_NULL)} END"


def _tree(column: str, edges: Floats, low: int, high: int) -> str:
    """The number of edges below a value, by halving: as deep as the logarithm of their number."""
    if low == high:
        return _text(str(low))
    middle = (low + high) // 2
    lower, upper = _tree(column, edges, low, middle), _tree(column, edges, middle + 1, high)
    return f"CASE WHEN {column} <= {float(edges[middle])!r} THEN {lower} ELSE {upper} END"


def _cell_of_text(column: str, known: tuple[str, ...]) -> str:
    text = f"CAST({column} AS varchar)"
    named = f"WHEN {text} IN ({', '.join(map(_text, known))}) THEN {_text(_NAMED)} || {text} " if known else ""
    return f"CASE WHEN {column} IS NULL THEN {_text(_NULL)} {named}ELSE {_text(_REST)} END"


def _finite(column: str) -> str:
    """Neither null, NaN (above all numbers where there is one) nor infinite."""
    return f"{column} BETWEEN {-_LARGEST!r} AND {_LARGEST!r}"


def _numeric(edges: Floats, cells: dict[str, tuple[int, float]]) -> NumericCounts:
    counts, sums = np.zeros(edges.size + 1, np.int64), np.zeros(edges.size + 1)
    for cell, (count, total) in cells.items():
        if cell != _NULL:
            counts[int(cell)], sums[int(cell)] = count, total
    return NumericCounts(edges, counts, sums, cells.get(_NULL, (0, 0.0))[0])


def _categorical(cells: dict[str, tuple[int, float]]) -> CategoryCounts:
    named = {cell.removeprefix(_NAMED): count for cell, (count, _) in sorted(cells.items()) if cell.startswith(_NAMED)}
    return CategoryCounts(named, cells.get(_REST, (0, 0.0))[0], cells.get(_NULL, (0, 0.0))[0])


def _quoted(dialect: str, name: str) -> str:
    from include.lifecycle.data.dialects import dialect_named

    return dialect_named(dialect).quoted(name)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
