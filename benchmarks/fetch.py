"""Fetch from PostgreSQL to Parquet against `pandas.read_sql` of the same rows: wall time and peak memory, same values."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.child import peak_bytes
from benchmarks.harness import MEGABYTE, Bench, Claim, in_child, median
from benchmarks.servers import postgres
from benchmarks.tables import create_statement, wide_order, wide_spec, write_query
from include.lifecycle.migrations import upgrade

if TYPE_CHECKING:
    import pandas as pd

SIZES = {"rows": 1_000_000, "columns": 32}
TINY = {"rows": 3_000, "columns": 32}
FASTER, SMALLER = 3.0, 1 / 8


def run(bench: Bench) -> list[Claim]:
    """Three interleaved repetitions in fresh processes; raises AssertionError when the values differ."""
    with postgres(bench.folder, "bench", "modelops") as server:
        bench.say("making the table")
        server.run("bench", create_statement(bench.sizes["rows"], bench.sizes["columns"]), "ANALYZE wide")
        upgrade(server.url("modelops"), server.passfile)
        arguments = arguments_of(bench, server.url("bench", with_password=True))
        environment = {"MODELOPS_DATABASE_URL": server.url("modelops"), "MODELOPS_PASSFILE": str(server.passfile)}
        found = bench.interleaved(
            {
                "ours": lambda: in_child("benchmarks.fetch:ours", arguments, environment),
                "pandas.read_sql": lambda: in_child("benchmarks.fetch:peer", arguments, environment),
            }
        )
    digests = {row["digest"] for rows in found.values() for row in rows}
    if len(digests) != 1:
        raise AssertionError(f"fetched values differ between repetitions or sides: {digests}")
    ours, peer = found["ours"], found["pandas.read_sql"]
    told = {"runs": found, "rows": bench.sizes["rows"], "same_values": True, "peer_is": "pandas.read_sql"}
    wall, other_wall, memory, other_memory = (median(rows, key) for key in ("seconds", "peak_bytes") for rows in (ours, peer))
    cpu = {"cpu_seconds": {"ours": median(ours, "cpu_seconds"), "peer": median(peer, "cpu_seconds")}}
    return [
        Claim("fetch_speed", wall, other_wall, "s", other_wall / wall, FASTER, "at_least", told | cpu),
        Claim("fetch_memory", memory / MEGABYTE, other_memory / MEGABYTE, "MB", memory / other_memory, SMALLER, "at_most", told),
    ]


def arguments_of(bench: Bench, url: str) -> dict[str, Any]:
    """What both sides are called with."""
    write_query(bench.folder)
    return {"url": url, "columns": bench.sizes["columns"], "folder": str(bench.folder)}


def ours(url: str, columns: int, folder: str, *, digest: bool = True) -> dict[str, Any]:
    """The lifecycle's fetch_data; imports are timed apart, memory is read before anything is checked."""
    began = time.monotonic()
    from sqlalchemy import make_url

    from include.lifecycle.data.fetch import fetch_data
    from include.lifecycle.runtime import RunContext, build_runtime
    from include.settings import load_settings

    spec, order = wide_spec(columns), wide_order()
    rt = build_runtime(load_settings({**_environment(), "MODELOPS_HOME": folder, "MODELOPS_STORAGE": f"{folder}/data"}))
    imported = time.monotonic()
    fetched = fetch_data(spec, rt, RunContext("wide", str(time.time_ns()), "fetch_data"), order, make_url(url))
    seconds, peak = time.monotonic() - imported, peak_bytes()
    told = {"seconds": seconds, "import_seconds": imported - began, "peak_bytes": peak, "rows": fetched.rows}
    if digest:
        import pandas as pd

        told["digest"] = _digest(pd.read_parquet(fetched.path))
    Path(fetched.path).unlink()
    return told


def peer(url: str, columns: int, folder: str) -> dict[str, Any]:
    """The statement that ours sends, by pandas and psycopg2."""
    began = time.monotonic()
    import pandas as pd
    from sqlalchemy import create_engine, text

    wide_spec(columns)
    imported = time.monotonic()
    order = wide_order()
    query = text('SELECT * FROM wide WHERE at >= :start AND at < :end ORDER BY "at", "id"')
    with create_engine(url).connect() as connection:
        frame = pd.read_sql(query, connection, params={"start": order.window_start, "end": order.window_end})
    seconds, peak = time.monotonic() - imported, peak_bytes()
    told = {"seconds": seconds, "import_seconds": imported - began, "peak_bytes": peak, "rows": len(frame)}
    return told | {"digest": _digest(frame)}


def _digest(frame: pd.DataFrame) -> str:
    """Sha256 over every value in order, in one spelling per kind: float64, microseconds, text."""
    import hashlib

    import numpy as np
    import pandas as pd

    total = hashlib.sha256()
    for name in sorted(frame.columns):
        column = frame[name].astype(str) if name == "id" else frame[name]  # ours keeps keys as text
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            values = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(dtype="datetime64[us]").astype(np.int64)
        elif pd.api.types.is_numeric_dtype(column.dtype):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
            values[np.isnan(values)] = np.nan  # there are many NaNs; one spelling
        else:
            values = pd.util.hash_array(column.astype(object).to_numpy(), categorize=True)
        total.update(name.encode() + values.tobytes())
    return total.hexdigest()


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name.startswith("MODELOPS_")}
