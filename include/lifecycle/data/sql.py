"""A model's SQL file and its rendering: only declared, typed bind parameters enter, through the dialect's literal processors.

connectorx takes no bind parameters, so values are rendered by SQLAlchemy; text from people is never formatted into a query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect as Literals
from sqlalchemy import Float, Integer, String, bindparam, text
from sqlalchemy.types import TypeEngine, UserDefinedType

from include.lifecycle.data.dialects import POSTGRESQL, Dialect
from include.lifecycle.errors import SourceQueryError, SpecInvalidError
from include.lifecycle.rules.view import did_you_mean

Value = datetime | int | float | str


class _Timestamp(UserDefinedType[datetime]):
    """An event time, as the dialect spells it."""

    cache_ok = False

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def literal_processor(self, dialect: Literals) -> Callable[[Any], str]:
        """Render through our own dialect."""
        return self.dialect.timestamp


def read_query(sql_dir: Path, relative: str, *, model: str) -> str:
    """Text of `sql_dir/relative` without its closing semicolon.

    Raises:
        SpecInvalidError: the file is missing, empty, or lies outside `sql_dir`.
    """
    path = (sql_dir / relative).resolve()
    if not path.is_relative_to(sql_dir.resolve()):
        raise SpecInvalidError(f"model {model}: query {relative!r} lies outside {sql_dir}")
    if not path.is_file():
        there = sorted(str(found.relative_to(sql_dir)) for found in sql_dir.rglob("*.sql"))
        raise SpecInvalidError(f"model {model}: query file {path} does not exist{did_you_mean(relative, there)}")
    query = path.read_text(encoding="utf-8").strip().rstrip(";").strip()
    if not query:
        raise SpecInvalidError(f"model {model}: query file {path} is empty")
    return query


def binds(query: str) -> set[str]:
    """Names that a query binds: `:name`, but neither `::casts` nor `12:30`."""
    return set(text(query).compile().params)


def render_query(query: str, values: Mapping[str, Value], *, where: str, dialect: Dialect = POSTGRESQL) -> str:
    """The query with each `:name` replaced by its typed literal in `dialect`. `::casts` and `12:30` stay as they are.

    Raises:
        SourceQueryError: the query binds a name that is not among `values`.
    """
    statement = text(query)
    asked = binds(query)
    if unknown := sorted(asked - set(values)):
        allowed = ", ".join(f":{name}" for name in sorted(values))
        raise SourceQueryError(f"{where}: binds :{unknown[0]}, allowed are {allowed}{did_you_mean(unknown[0], list(values))}")
    typed = [bindparam(name, _plain(value), _type_of(value, dialect)) for name, value in values.items() if name in asked]
    return str(statement.bindparams(*typed).compile(dialect=dialect.literals, compile_kwargs={"literal_binds": True}))


def _plain(value: Value) -> Value:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise SourceQueryError(f"{value} has no timezone; event times are timezone-aware UTC")
        return value.astimezone(UTC)
    return value


def _type_of(value: Value, dialect: Dialect) -> TypeEngine[Any]:
    if isinstance(value, datetime):
        return _Timestamp(dialect)
    if isinstance(value, int):
        return Integer()
    return Float() if isinstance(value, float) else String()
