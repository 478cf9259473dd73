"""What every query file that a YAML names must be: a path below include/sql, there, and asked through the data's connection."""

from __future__ import annotations

from pathlib import Path

from include.lifecycle.origins import KeyPath
from include.lifecycle.rules.view import Found, View, did_you_mean


def query_problems(view: View, path: KeyPath, query: str) -> Found:
    """The first thing that is wrong with the query file named at `path`; nothing when it can be read and asked."""
    if Path(query).is_absolute() or ".." in Path(query).parts:
        yield path, f"got {query!r}; allowed: a path below include/sql"
    elif not (view.sql_dir / query).is_file():
        there = [str(file.relative_to(view.sql_dir)) for file in view.sql_dir.glob("**/*.sql")]
        yield path, f"no such file: include/sql/{query}{did_you_mean(query, there)}"
    elif view.get("data.query") is None:
        yield path, "it is asked through the database of data.connection, and data.query is not given"
