"""Drift of rows in a database: counted there by one statement, judged here as a window of the version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import URL, create_engine
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, OperationalError

from include.lifecycle.data.source import wrapped
from include.lifecycle.errors import SettingsError, SourceQueryError, SourceUnavailableError
from include.lifecycle.monitoring.counting.counts import WindowCounts
from include.lifecycle.monitoring.counting.scheme import STORED_CELLS, scheme_of
from include.lifecycle.monitoring.counting.statement import PREDICTION_COLUMN, count_query
from include.lifecycle.monitoring.drift import check_drift, check_prediction_drift
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import PREDICTION, Profile
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

_NEVER = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC))  # rows of a query have no window


@dataclass(frozen=True)
class TableDrift:
    """What was found: a verdict per watched column that the query has; `missing` are those that it lacks."""

    version: int
    rows: int
    verdicts: list[Verdict]
    missing: list[str]

    @property
    def outcome(self) -> Outcome:
        """Fail when a column drifted, inconclusive when none could be judged."""
        if any(verdict.failed for verdict in self.verdicts):
            return Outcome.FAIL
        return Outcome.PASS if any(verdict.passed for verdict in self.verdicts) else Outcome.INCONCLUSIVE

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        told = {"version": self.version, "rows": self.rows, "outcome": self.outcome.value, "missing": self.missing}
        return told | {"verdicts": [verdict.model_dump(mode="json") for verdict in self.verdicts]}


def table_drift(spec: ModelSpec, profile: Profile, url: URL, query: str, *, version: int) -> TableDrift:
    """Count the rows of `query` at `url` and judge each watched column.

    Raises:
        SourceUnavailableError: the database did not answer (retryable).
        SourceQueryError: it refused the statement.
        SettingsError: SQLAlchemy has no driver for it.
    """
    try:
        engine = create_engine(url, execution_options={"no_parameters": True})  # a % in the query is a %
    except (NoSuchModuleError, ModuleNotFoundError) as problem:
        raise SettingsError(f"no driver for a database of kind {url.get_backend_name()!r}: {problem}") from problem
    dialect = engine.dialect.name
    try:
        with engine.connect() as connection:

            def execute(statement: str) -> Iterable[tuple[Any, ...]]:
                return [tuple(row) for row in connection.exec_driver_sql(statement).all()]

            there = set(connection.exec_driver_sql(wrapped("*", query, "WHERE 1 = 0")).keys())
            cells = {} if dialect == "postgresql" else {"cells": STORED_CELLS}  # a tree of CASEs grows with the cells
            scheme = scheme_of(profile, **cells)
            columns = [name for name in scheme.columns if (PREDICTION_COLUMN if name == PREDICTION else name) in there]
            counts = count_query(execute, dialect, query, scheme, columns)
    except OperationalError as problem:
        raise SourceUnavailableError(f"{url.render_as_string()}: {problem.orig}") from problem
    except DBAPIError as problem:
        raise SourceQueryError(f"{url.render_as_string()}: {problem.orig}") from problem
    finally:
        engine.dispose()
    missing = [name for name in spec.watched if name not in columns]
    return TableDrift(version, counts.rows, _verdicts(spec, profile, counts, version), missing)


def _verdicts(spec: ModelSpec, profile: Profile, counts: WindowCounts, version: int) -> list[Verdict]:
    held = {name: np.empty(0) for name in [*counts.numeric, *counts.categorical] if name != PREDICTION}
    times, keys, empty = np.empty(0, dtype=np.int64), np.empty(0, dtype=object), np.empty(0)
    window = Predictions(version, _NEVER, times, keys, empty, empty, dict(held), counts=counts, of_rows=counts.rows)
    known = PREDICTION in counts.numeric or PREDICTION in counts.categorical
    return check_drift(spec, profile, window) + ([check_prediction_drift(spec, profile, window)] if known else [])
