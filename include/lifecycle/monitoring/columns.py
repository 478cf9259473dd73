"""Columns as arrays: the one conversion that training tables and the prediction log share, so that like is compared with like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas

Floats = NDArray[np.float64]
Objects = NDArray[np.object_]


def numbers(values: Any) -> Floats:
    """Any column (Series or array) as float64 (n,); what is no number becomes NaN."""
    import pandas

    return pandas.to_numeric(pandas.Series(values), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def categories(values: Any) -> Objects:
    """Any column as text (n,), None where it is null. Whole floats lose their `.0`: a log says "5" where a table says 5.0."""
    import pandas

    series = pandas.Series(values, dtype=object)
    codes, found = pandas.factorize(series, use_na_sentinel=True)
    texts = np.array([*(_text(value) for value in found), None], dtype=object)
    return texts[codes]


def _text(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def counts_of(texts: Iterable[str | None]) -> dict[str, int]:
    """How often each category occurs, nulls left out."""
    return dict(Counter(text for text in texts if text is not None))


def seconds(times: pandas.Series[Any]) -> Floats:
    """Event times as seconds since 1970 (n,); naive ones are read as UTC."""
    import pandas

    stamps = pandas.to_datetime(times, utc=True).dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    return stamps.astype(np.int64).astype(np.float64) / 1e6
