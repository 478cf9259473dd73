"""Rules on where rows and outcomes come from: a query of a database, or a dataset of files; features that a store adds."""

from __future__ import annotations

from pathlib import Path

from include.lifecycle.rules.view import Found, Rule, View, did_you_mean


def _one_source(view: View) -> Found:
    section = view.get("data")
    if not isinstance(section, dict):
        return
    query, dataset, connection = (section.get(name) for name in ("query", "dataset", "connection"))
    if query is None and dataset is None:
        yield ("data",), "no source of rows; give either query (with connection) or dataset"
    elif query is not None and dataset is not None:
        yield ("data", "dataset"), "data.query is given too; rows come from one of both"
    elif query is not None and connection is None:
        yield ("data", "connection"), "missing, and data.query needs it: the Airflow connection of the database that is asked"
    elif isinstance(dataset, dict) and connection is not None and not str(dataset.get("path")).startswith("s3://"):
        yield ("data", "connection"), f"got {connection!r}; a dataset uses a connection only for s3:// paths (its credentials)"


def _outcomes_come_from_one_place(view: View) -> Found:
    dataset, query, known_at = view.get("data.dataset"), view.get("labels.query"), view.get("labels.known_at")
    if dataset is not None and query is not None:
        yield ("labels", "query"), "data.dataset is given, and outcomes are its target column; leave labels.query out"
    elif dataset is None and view.get("data.query") is not None and query is None:
        yield ("labels", "query"), "missing, and data.query needs it: the SQL file that returns the true outcomes"
    if dataset is None and known_at is not None:
        yield ("labels", "known_at"), f"got {known_at!r}; it names a column of data.dataset; labels.query returns known_at itself"


def _store_is_readable(view: View) -> Found:
    views = view.get("features.store")
    if not isinstance(views, list) or not views:
        return
    if view.get("data.query") is None:
        yield ("features", "store"), "features are looked up in the database of data.connection, and data.query is not given"
    seen: set[str] = set()
    for index, item in enumerate(views):
        if isinstance(item, dict):
            yield from _store_table(view, index, item.get("table"))
            for name in item["columns"] if isinstance(item.get("columns"), list) else ():
                if name in seen:
                    yield ("features", "store", index, "columns"), f"{name!r} is looked up already"
                seen.add(name)


def _store_table(view: View, index: int, table: object) -> Found:
    if not isinstance(table, str) or not table.endswith(".sql"):
        return
    path = ("features", "store", index, "table")
    if Path(table).is_absolute() or ".." in Path(table).parts:
        yield path, f"got {table!r}; allowed: a table's name, or a path below include/sql"
    elif not (view.sql_dir / table).is_file():
        there = [str(file.relative_to(view.sql_dir)) for file in view.sql_dir.glob("**/*.sql")]
        yield path, f"no such file: include/sql/{table}{did_you_mean(table, there)}"


RULES: tuple[Rule, ...] = (
    _one_source,
    _outcomes_come_from_one_place,
    _store_is_readable,
)
