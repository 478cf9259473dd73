"""Who met which arm of an experiment: read from the prediction log, by the hashed sticky key that the gateway handed on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.monitoring.predictions import Floats, Objects, Times, _floats, _lists, _texts
from include.lifecycle.rollout.states import Plan
from include.serving.log_schema import BASELINE, LIVE, Remote, logged_relation

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

MOST_ROWS = 2_000_000  # more are thinned by whole keys, chosen by their hash, so that memory stays below about a gigabyte
_ANSWERS = """
CREATE TABLE answers AS
SELECT unit, {arm} AS challenger, key, epoch_us(event_time) AS event, prediction, probabilities, epoch_us(logged_at) AS logged
FROM log WHERE {arm} IS NOT NULL
"""
_KEYS = """
CREATE TABLE units AS
SELECT unit, row_number() OVER (ORDER BY min(logged), unit) - 1 AS code, arg_min(challenger, logged) AS challenger,
  count(DISTINCT challenger) > 1 AS crossed
FROM answers WHERE unit IS NOT NULL GROUP BY unit
"""
_ROWS = """
SELECT code, key, event, prediction, probabilities FROM answers JOIN units USING (unit)
WHERE hash(unit) % 10000 < ? ORDER BY logged, code, event
"""


@dataclass(frozen=True, eq=False)
class Exposed:
    """`units` (keys,) hashed keys in order of their first request, `challenger` (keys,) their arm, `crossed` how many met both.

    Rows (n,): `codes` their key's place, `keys` and `times` what labels join on, `values`, `probabilities` (n, classes).
    """

    units: Objects
    challenger: NDArray[np.bool_]
    crossed: int
    rows_without_key: int
    codes: NDArray[np.intp]
    keys: Objects
    times: Times
    values: Floats
    probabilities: Floats | None


def read_exposure(
    plan: Plan,
    folder: Path,
    since: datetime,
    classes: int = 0,
    *,
    most_rows: int = MOST_ROWS,
    remote: Remote | None = None,
) -> Exposed:
    """Every answer that was logged from `since` (wall time) on for one of the plan's arms, by assigned arm (intention to treat).

    Raises:
        SourceUnavailableError: the files kept vanishing while they were read, or S3 did not answer.
    """
    import duckdb

    with duckdb.connect(":memory:", config={"threads": "2"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            logged_relation(connection, folder, since, remote=remote).create_view("log")
            arm, arguments = _arm(plan)
            connection.execute(_ANSWERS.format(arm=arm), [*arguments, *arguments])
        except (duckdb.IOException, OSError) as problem:
            raise SourceUnavailableError(f"prediction log {folder} of {plan.model}: {problem}") from problem
        connection.execute(_KEYS)
        return _exposed(connection, classes, most_rows)


def _arm(plan: Plan) -> tuple[str, list[Any]]:
    """An expression that is true for the challenger's rows, false for the champion's, null for all others."""
    if plan.strategy == "aa_test":
        return "(CASE WHEN arm = ? THEN true WHEN arm = ? AND assigned_version = ? THEN false END)", [
            BASELINE,
            LIVE,
            plan.version,
        ]
    told = "(CASE WHEN assigned_version = ? THEN true WHEN assigned_version = ? AND arm = ? THEN false END)"
    return told, [plan.version, plan.champion, LIVE]


def _exposed(connection: duckdb.DuckDBPyConnection, classes: int, most_rows: int) -> Exposed:
    units = connection.execute("SELECT unit, challenger, crossed FROM units ORDER BY code").fetchnumpy()
    counts = "SELECT (SELECT count(unit) FROM answers), (SELECT count(*) FROM log WHERE unit IS NULL)"
    found = connection.execute(counts).fetchone() or (0, 0)
    kept = 10_000 if found[0] <= most_rows else max(1, round(10_000 * most_rows / found[0]))
    rows = connection.execute(_ROWS, [kept]).fetchnumpy()
    return Exposed(
        units=np.array(units["unit"], dtype=object),
        challenger=np.asarray(units["challenger"], dtype=bool),
        crossed=int(np.sum(units["crossed"])),
        rows_without_key=int(found[1]),
        codes=np.asarray(rows["code"], dtype=np.intp),
        keys=_texts(rows["key"]),
        times=np.asarray(rows["event"], dtype=np.int64),
        values=_floats(rows["prediction"]),
        probabilities=_lists(rows["probabilities"], classes) if classes else None,
    )
