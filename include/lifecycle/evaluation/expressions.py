"""SQL expressions over the hold-out, for slices and the business metric: DuckDB in memory, locked down before a user's text runs.

No files, no network, no extensions, no other table, one statement, one thread, bounded memory and time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.errors import SpecInvalidError
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats

if TYPE_CHECKING:
    import pandas as pd

TABLE, ROW = "scored", "@row"
SECONDS, MEMORY, SPILL = 30.0, "1GB", "1GB"
_OPTIONS: dict[str, Any] = {
    "threads": 1,
    "memory_limit": MEMORY,
    "max_temp_directory_size": SPILL,  # its default is nine tenths of the disk
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def numbers_of(table: pd.DataFrame, expression: str, where: str) -> Floats:
    """The expression's value of each row (n,), NaN for null; SpecInvalidError names the key `where` when it fails."""
    values = _evaluate(table, f"CAST(({expression}\n) AS DOUBLE)", where)
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def rows_where(table: pd.DataFrame, condition: str, where: str) -> NDArray[np.bool_]:
    """Which rows fulfil the condition (n,); null is no. SpecInvalidError as in numbers_of."""
    values = _evaluate(table, f"coalesce(CAST(({condition}\n) AS BOOLEAN), false)", where)
    return values.to_numpy(dtype=bool)


def scored_table(spec: ModelSpec, rows: pd.DataFrame, y: Floats, p: Floats) -> pd.DataFrame:
    """What expressions see: the rows' columns, `label`, `prediction` and `decision`.

    Binary: probability, and 1 where it is acted upon. Regression: value twice. Multiclass: class names (also of the label), and
    the probability of class `c` as `probability_c`.
    """
    table = rows.reset_index(drop=True)
    if spec.objective.task == "multiclass_classification":
        names = np.asarray(spec.objective.classes, dtype=object)
        found = names[p.argmax(axis=1)] if len(p) else names[:0]
        chances = {f"probability_{name}": p[:, place] for place, name in enumerate(names)} if len(p) else {}
        return table.assign(label=names[y.astype(np.intp)], prediction=found, decision=found, **chances)
    decision = (p >= spec.objective.threshold).astype(np.int64) if spec.objective.task == "binary_classification" else p
    return table.assign(label=y, prediction=p, decision=decision)


def _evaluate(table: pd.DataFrame, expression: str, where: str) -> pd.Series:
    import duckdb

    content = table.assign(**{ROW: np.arange(len(table))})
    query = f'SELECT {expression} AS value FROM {TABLE} ORDER BY "{ROW}" LIMIT {len(table) + 1}'  # noqa: S608 - runs locked down, over this table only
    with duckdb.connect(":memory:", config=_OPTIONS) as connection:
        connection.register("handed", content)
        connection.execute(f"CREATE TABLE {TABLE} AS SELECT * FROM handed")  # noqa: S608 - our own words
        connection.unregister("handed")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        timer = threading.Timer(SECONDS, connection.interrupt)
        timer.start()
        try:
            if len(connection.extract_statements(query)) != 1:
                raise SpecInvalidError(f"{where}: got more than one statement; allowed is one expression")
            found: pd.DataFrame = connection.execute(query).fetch_df()
        except duckdb.Error as problem:
            known = ", ".join(map(str, table.columns))
            told = str(problem).strip().splitlines()[0][:300]
            raise SpecInvalidError(f"{where}: {told}; columns: {known}") from problem
        finally:
            timer.cancel()
    if len(found) != len(table) or list(found.columns) != ["value"]:
        raise SpecInvalidError(f"{where}: got {len(found)} values for {len(table)} rows; allowed is one value per row")
    return found["value"]
