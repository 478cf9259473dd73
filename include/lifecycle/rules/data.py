"""Rules on where rows come from and what they must meet."""

from __future__ import annotations

from pathlib import Path

from include.lifecycle.data.expectation_names import name_and_arguments, problems_of
from include.lifecycle.origins import KeyPath
from include.lifecycle.rules.view import Found, Rule, View, did_you_mean

WINDOW_BINDS = (":window_start", ":window_end")


def _sql_exists(view: View) -> Found:
    for key in ("data.query", "labels.query"):
        query = view.get(key)
        if not isinstance(query, str):
            continue
        path = tuple(key.split("."))
        if Path(query).is_absolute() or ".." in Path(query).parts:
            yield path, f"got {query!r}; allowed: a path below include/sql"
        elif not (view.sql_dir / query).is_file():
            there = [str(file.relative_to(view.sql_dir)) for file in view.sql_dir.glob("**/*.sql")]
            yield path, f"no such file: include/sql/{query}{did_you_mean(query, there)}"
        elif key == "data.query":
            text = (view.sql_dir / query).read_text(encoding="utf-8", errors="replace")
            if missing := [name for name in WINDOW_BINDS if name not in text]:
                yield path, f"include/sql/{query} does not use {' and '.join(missing)}; it would read beyond its window"


def _expectations_are_known(view: View) -> Found:
    """Each expectation's name and arguments, by the table of the pinned Great Expectations."""
    listed = view.get("data.expectations")
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(item, dict):
            continue
        path: KeyPath = ("data", "expectations", index)
        try:
            name, arguments = name_and_arguments(item)
        except ValueError:
            name, arguments = "", {}
        if not name.startswith("expect_"):
            allowed = "one expectation with its arguments, such as {expect_column_values_to_not_be_null: {column: age}}"
            yield path, f"got {', '.join(map(str, item)) or 'nothing'}; allowed: {allowed}"
            continue
        flat = name not in item
        for argument, text in problems_of(name, arguments):
            yield (*path, *(() if flat else (name,)), *((argument,) if argument else ())), text


RULES: tuple[Rule, ...] = (
    _sql_exists,
    _expectations_are_known,
)
