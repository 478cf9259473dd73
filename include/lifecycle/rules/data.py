"""Rules on where rows come from and what they must meet."""

from __future__ import annotations

from pathlib import Path

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


def _expectations_have_a_name(view: View) -> Found:
    listed = view.get("data.expectations")
    for index, item in enumerate(listed if isinstance(listed, list) else ()):
        if not isinstance(item, dict) or item.keys() & {"type", "name"}:
            continue
        name, arguments = next(iter(item.items()), ("", None))
        if len(item) != 1 or not name.startswith("expect_") or not isinstance(arguments, dict):
            allowed = "one expectation with its arguments, such as {expect_column_values_to_not_be_null: {column: age}}"
            yield ("data", "expectations", index), f"got {', '.join(item) or 'nothing'}; allowed: {allowed}"


RULES: tuple[Rule, ...] = (
    _sql_exists,
    _expectations_have_a_name,
)
