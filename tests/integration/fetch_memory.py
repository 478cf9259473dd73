"""Fetches a table in a process of its own and prints its peak memory in MB: `python fetch_memory.py URL QUERY`."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import connectorx  # noqa: F401 - part of every fetch, so in the base line too
import duckdb  # noqa: F401
import pyarrow.parquet as pq
from sqlalchemy import make_url

from include.lifecycle.data.source import open_source


def main(url: str, query: str) -> None:
    source, rows = open_source(make_url(url), "memory"), 0
    with TemporaryDirectory() as folder, source.stream(query) as stream:
        writer = pq.ParquetWriter(Path(folder) / "data.parquet", stream.schema)
        for batch in stream:
            writer.write_batch(batch)
            rows += batch.num_rows
        writer.close()
    print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
