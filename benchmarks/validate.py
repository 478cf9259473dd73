"""A wide table is validated within a bound of memory: validate_data on a Parquet file, in a fresh process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.child import peak_bytes
from benchmarks.fetch import arguments_of
from benchmarks.harness import MEGABYTE, Bench, Claim, in_child, median
from benchmarks.servers import postgres
from benchmarks.tables import create_statement, wide_order, wide_spec
from include.lifecycle.migrations import upgrade

SIZES = {"rows": 1_000_000, "columns": 32}
TINY = {"rows": 3_000, "columns": 32}
BAR_MB = 1_200.0


def run(bench: Bench) -> list[Claim]:
    """Peak memory of the stage over the repetitions, fetch left out."""
    with fetched(bench) as (arguments, environment):
        found = bench.interleaved({"ours": lambda: in_child("benchmarks.validate:ours", arguments, environment)})["ours"]
    peak = median(found, "peak_bytes") / MEGABYTE
    told = {"runs": found, "rows": bench.sizes["rows"], "seconds": median(found, "seconds")}
    return [Claim("validate_memory", peak, BAR_MB, "MB", peak / BAR_MB, 1.0, "at_most", told)]


class fetched:  # noqa: N801 - used like a function: `with fetched(bench) as (arguments, environment):`
    """A server, the table, and its rows as fetch_data writes them."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._server = postgres(bench.folder, "bench", "modelops")

    def __enter__(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Make the table and fetch it once."""
        bench, server = self._bench, self._server.__enter__()
        server.run("bench", create_statement(bench.sizes["rows"], bench.sizes["columns"]))
        upgrade(server.url("modelops"), server.passfile)
        environment = {"MODELOPS_DATABASE_URL": server.url("modelops"), "MODELOPS_PASSFILE": str(server.passfile)}
        arguments = arguments_of(bench, server.url("bench", with_password=True))
        kept = in_child("benchmarks.validate:fetch_once", arguments, environment)
        bench.say(f"fetched {kept['rows']} rows")
        return {"columns": bench.sizes["columns"], "folder": arguments["folder"], "fetched": kept["fetched"]}, environment

    def __exit__(self, *problem: object) -> None:
        """End the server."""
        self._server.__exit__(None, None, None)


def fetch_once(url: str, columns: int, folder: str) -> dict[str, Any]:
    """fetch_data's result, its file kept."""
    from sqlalchemy import make_url

    from include.lifecycle.data.fetch import fetch_data
    from include.lifecycle.runtime import RunContext, build_runtime
    from include.settings import load_settings

    rt = build_runtime(load_settings({**_environment(), "MODELOPS_HOME": folder, "MODELOPS_STORAGE": f"{folder}/data"}))
    found = fetch_data(wide_spec(columns), rt, RunContext("wide", "once", "fetch_data"), wide_order(), make_url(url))
    return {"rows": found.rows, "fetched": found.model_dump(mode="json")}


def ours(columns: int, folder: str, fetched: dict[str, Any]) -> dict[str, Any]:
    """validate_data; the model's expectations are one per kind of column."""
    began = time.monotonic()
    from include.lifecycle.data.validation import validate_data
    from include.lifecycle.results import FetchedData
    from include.lifecycle.runtime import RunContext, build_runtime
    from include.settings import load_settings

    spec = wide_spec(columns, data={"expectations": _expectations()})
    rt = build_runtime(load_settings({**_environment(), "MODELOPS_HOME": folder, "MODELOPS_STORAGE": f"{folder}/data"}))
    imported = time.monotonic()
    run = RunContext("wide", str(time.time_ns()), "validate_data")
    judged = validate_data(spec, rt, run, FetchedData.model_validate(fetched))
    seconds = time.monotonic() - imported
    told = {"seconds": seconds, "import_seconds": imported - began, "peak_bytes": peak_bytes()}
    return told | {"verdict": judged.verdict.outcome.value, "bytes": Path(fetched["path"]).stat().st_size}


def _expectations() -> list[dict[str, dict[str, Any]]]:
    return [
        {"expect_column_values_to_be_unique": {"column": "id"}},
        {"expect_column_values_to_be_between": {"column": "n1", "min_value": 0, "max_value": 100}},
        {"expect_column_values_to_not_be_null": {"column": "n2", "mostly": 0.9}},
        {"expect_column_values_to_match_regex": {"column": "c0", "regex": "^v[0-9]+$"}},
        {"expect_column_mean_to_be_between": {"column": "target", "min_value": 0.05, "max_value": 0.95}},
    ]


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if name.startswith("MODELOPS_")}
