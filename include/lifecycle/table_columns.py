"""The columns of a table that a new model is about, from a database or from a CSV file's first rows. Read by scaffolding.py."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import create_engine, inspect, types
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchTableError

from include.lifecycle.errors import LifecycleError, SettingsError, SourceQueryError, SourceUnavailableError
from include.lifecycle.rules.view import did_you_mean

Kind = Literal["number", "text", "boolean", "time", "other"]
_SAMPLE = 1000
_WORDS = {"true", "false", "t", "f", "yes", "no"}


@dataclass(frozen=True)
class TableColumn:
    """A column's name, what its values are, and whether it is (part of) the primary key."""

    name: str
    kind: Kind
    primary: bool = False


def columns_of_table(url: str, table: str, passfile: Path | None = None) -> list[TableColumn]:
    """Columns of `[schema.]table` in the database at the SQLAlchemy `url`, which must carry no password.

    Raises SettingsError (bad URL), SourceUnavailableError (no answer), SourceQueryError (no such table).
    """
    try:
        address = make_url(url)
    except ArgumentError:
        raise SettingsError(
            "--url is no SQLAlchemy URL; write for example postgresql+psycopg2://user@host:5432/database"
        ) from None
    if address.password is not None:
        raise SettingsError("--url carries a password, and others see a command line; put it into the file named by PGPASSFILE")
    postgres = address.get_backend_name() == "postgresql"
    options: dict[str, Any] = {"connect_timeout": 5} if postgres else {}
    engine = create_engine(address, connect_args=options | ({"passfile": str(passfile)} if postgres and passfile else {}))
    schema, _, name = table.rpartition(".")
    try:
        found = inspect(engine)
        primary = found.get_pk_constraint(name, schema or None)["constrained_columns"]
        columns = found.get_columns(name, schema or None)
    except NoSuchTableError:
        known = found.get_table_names(schema or None)
        raise SourceQueryError(f"{address.render_as_string()} has no table {table!r}{did_you_mean(name, known)}") from None
    except DBAPIError as problem:
        said = " ".join(str(problem.orig).split())
        raise SourceUnavailableError(f"{address.render_as_string()} did not answer: {said}") from None
    finally:
        engine.dispose()
    return [TableColumn(column["name"], _kind_of_type(column["type"]), column["name"] in primary) for column in columns]


def columns_of_csv(file: Path) -> list[TableColumn]:
    """Columns of a CSV file with a header, judged by its first 1000 rows. Raises LifecycleError when it holds none."""
    try:
        with file.open(encoding="utf-8", newline="") as handle:
            reader = csv.reader(handle)
            header = next(reader, [])
            sample = list(islice(reader, _SAMPLE))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise LifecycleError(f"{file} cannot be read: {problem}") from problem
    if not any(name.strip() for name in header):
        raise LifecycleError(f"{file} has no header; its first line must name the columns")
    return [
        TableColumn(name.strip(), _kind_of_texts([row[index] for row in sample if len(row) > index and row[index] != ""]))
        for index, name in enumerate(header)
    ]


def _kind_of_type(kind: types.TypeEngine[Any]) -> Kind:
    kinds: tuple[tuple[type[types.TypeEngine[Any]], Kind], ...] = (
        (types.Boolean, "boolean"),
        (types.Numeric, "number"),
        (types.Float, "number"),
        (types.Integer, "number"),
        (types.DateTime, "time"),
        (types.Date, "time"),
        (types.String, "text"),
        (types.Uuid, "text"),
    )
    return next((name for cls, name in kinds if isinstance(kind, cls)), "other")


def _kind_of_texts(values: list[str]) -> Kind:
    if not values:
        return "other"
    if {value.lower() for value in values} <= _WORDS:
        return "boolean"
    for kind, read in (("number", float), ("time", datetime.fromisoformat)):
        if all(_reads(read, value) for value in values):
            return kind  # type: ignore[return-value]
    return "text"


def _reads(read: Any, value: str) -> bool:
    try:
        read(value)
    except ValueError:
        return False
    return True
