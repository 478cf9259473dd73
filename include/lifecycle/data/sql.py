"""A model's SQL file and its rendering: only declared, typed bind parameters enter, through the dialect's literal processors.

connectorx takes no bind parameters, so values are rendered by SQLAlchemy; text from people is never formatted into a query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect, Float, Integer, String, bindparam, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import DateTime, TypeEngine, UserDefinedType

from include.lifecycle.errors import SourceQueryError, SpecInvalidError
from include.lifecycle.rules.view import did_you_mean

Value = datetime | int | float | str

# Named parameters leave `%` alone; the driver's default style would double it.
_DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]


class _UtcTimestamp(UserDefinedType[datetime]):
    """A timestamp literal with its type in front, so that `:window_end - interval '1 day'` means what it says."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The SQL type's name."""
        return "TIMESTAMP WITH TIME ZONE"

    def literal_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """Render through the dialect's own timestamp literal."""
        plain = DateTime(timezone=True).dialect_impl(dialect).literal_processor(dialect)
        if plain is None:
            raise SourceQueryError(f"dialect {dialect.name} renders no timestamp literals")
        return lambda value: f"TIMESTAMP WITH TIME ZONE {plain(value)}"


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


def render_query(query: str, values: Mapping[str, Value], *, where: str) -> str:
    """The query with each `:name` replaced by its typed literal (PostgreSQL syntax). `::casts` and `12:30` stay as they are.

    Raises:
        SourceQueryError: the query binds a name that is not among `values`.
    """
    statement = text(query)
    asked = set(statement.compile().params)
    if unknown := sorted(asked - set(values)):
        allowed = ", ".join(f":{name}" for name in sorted(values))
        raise SourceQueryError(f"{where}: binds :{unknown[0]}, allowed are {allowed}{did_you_mean(unknown[0], list(values))}")
    typed = [bindparam(name, _plain(value), _type_of(value)) for name, value in values.items() if name in asked]
    return str(statement.bindparams(*typed).compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def _plain(value: Value) -> Value:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise SourceQueryError(f"{value} has no timezone; event times are timezone-aware UTC")
        return value.astimezone(UTC)
    return value


def _type_of(value: Value) -> TypeEngine[Any]:
    if isinstance(value, datetime):
        return _UtcTimestamp()
    if isinstance(value, int):
        return Integer()
    return Float() if isinstance(value, float) else String()
