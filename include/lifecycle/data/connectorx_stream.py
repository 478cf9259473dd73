"""Rows as an Arrow stream by connectorx, for PostgreSQL and MySQL: one place that turns its failures into the source's errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import URL

from include.lifecycle.data.source import BATCH_ROWS

if TYPE_CHECKING:
    import pyarrow


@contextmanager
def connectorx_stream(
    url: URL, query: str, session: Sequence[str], translate: Callable[[str], Exception]
) -> Iterator[pyarrow.RecordBatchReader]:
    """Record batches of `query`; `session` is run first. `translate(said)` gives the error for what connectorx said."""
    import connectorx

    address = url.render_as_string(hide_password=False)
    try:
        yield connectorx.read_sql(
            address, query, return_type="arrow_stream", batch_size=BATCH_ROWS, pre_execution_query=list(session)
        )
    except BaseException as problem:
        # connectorx reports the source's failures as RuntimeError, or as its runtime's panic, which is no Exception
        if not isinstance(problem, RuntimeError) and type(problem).__name__ != "PanicException":
            raise
        shown = f"{url.host}:{url.port}/{url.database}"
        raise translate(str(problem).replace(address, shown)) from None
