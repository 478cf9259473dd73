"""A Parquet table of training rows read column by column: what the data checks look through, so that memory holds one column."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.errors import DataInvalidError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


class TableFile:
    """One Parquet file that fetch_data wrote."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self.path = path
        with pq.ParquetFile(path) as file:
            self.schema: pa.Schema = file.schema_arrow
            self.rows: int = file.metadata.num_rows

    @cached_property
    def window(self) -> tuple[datetime, datetime]:
        """[start, end) of event time that the file holds; DataInvalidError when it does not say so."""
        from include.lifecycle.data.fetch import WINDOW_END, WINDOW_START

        metadata = self.schema.metadata or {}
        if WINDOW_START not in metadata or WINDOW_END not in metadata:
            raise DataInvalidError(f"{self.path} does not say which window it holds; it was not written by fetch_data")
        start, end = (datetime.fromisoformat(metadata[key].decode()) for key in (WINDOW_START, WINDOW_END))
        return start, end

    def column(self, name: str) -> pa.ChunkedArray:
        """One column (rows,)."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path, columns=[name]).column(0)

    def numbers(self, name: str) -> Floats:
        """One numeric column (rows,) as float64, nulls as NaN; text becomes a number where it reads as one, else NaN."""
        import pandas as pd
        import pyarrow as pa

        values = self.column(name)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            return np.asarray(pd.to_numeric(values.to_pandas(), errors="coerce"), dtype=np.float64)
        return np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64)

    def frame(self, names: list[str], keep: Mask) -> pd.DataFrame:
        """The named columns of the rows to keep, numbered from 0."""
        import pyarrow.parquet as pq

        frame: pd.DataFrame = pq.read_table(self.path, columns=names).to_pandas(self_destruct=True)
        return frame if keep.all() else frame[keep].reset_index(drop=True)


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds text."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether an Arrow type holds numbers or booleans."""
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind))
