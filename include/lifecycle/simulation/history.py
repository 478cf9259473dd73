"""The past of one model as a replay sees it: all rows once, and windows of predictions as the prediction log would hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import URL

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.ledger import SilentLedger
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.results import FetchedData, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import Storage

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class History:
    """`raw`: rows as fetched, for trainings; `served`: the same cleaned and with features, for predictions, oldest first."""

    spec: ModelSpec
    rt: Runtime
    raw: pd.DataFrame
    served: pd.DataFrame

    def rows(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Rows of event time [start, end) with the model's columns."""
        return _between(self.served, self.spec.data.event_time, start, end)

    def fetched(self, order: TrainingOrder, folder: Path) -> FetchedData:
        """The order's window as fetch_data would have written it at that time; DataInvalidError when it is empty."""
        rows = _between(self.raw, self.spec.data.event_time, order.window_start, order.window_end)
        if rows.empty:
            raise DataInvalidError(f"{self.spec.name}: no rows from {order.window_start} to {order.window_end}")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "data.parquet"
        rows.to_parquet(path, index=False)
        return FetchedData(path=path, rows=len(rows), rows_in_window=len(rows), columns=list(rows.columns), seconds=0.0)

    def window(self, version: int, window: Window, rows: pd.DataFrame, predicted: Floats) -> tuple[Predictions, Labelled]:
        """What the log and the labels query would hold once every label of the window is mature; predicted (n,)."""
        from include.lifecycle.data.targets import labels_of

        times = rows[self.spec.data.event_time].dt.tz_convert(None).to_numpy("datetime64[us]").astype(np.int64)
        features: dict[str, NDArray[Any]] = {
            name: rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in self.spec.features.numeric
        }
        for name in self.spec.features.categorical:
            values = rows[name].astype(object)
            features[name] = values.where(values.notna(), None).to_numpy(dtype=object)
        keys = rows[self.spec.data.key].astype(str).to_numpy(dtype=object)
        labels = labels_of(self.spec, rows).astype(np.float64)
        seen = Predictions(version, window, times, keys, predicted, np.zeros(len(rows)), features)
        return seen, Labelled(labels, predicted, times, 1.0 if len(rows) else 0.0)


def read_history(spec: ModelSpec, rt: Runtime, url: URL | None, start: datetime, end: datetime, folder: Path) -> History:
    """Fetch event time [start, end) once, into `folder`; nothing is noted anywhere.

    Raises:
        SourceUnavailableError, SourceQueryError, DataInvalidError: as fetch_data.
    """
    import pandas as pd

    from include.lifecycle.data.fetch import fetch_data
    from include.lifecycle.data.preparation import clean
    from include.lifecycle.data.transformer import with_features

    apart = Runtime(rt.settings, rt.clock, Storage(folder / "storage"), rt.engine, SilentLedger(rt.engine, rt.clock))
    order = TrainingOrder(
        model=spec.name,
        request_ids=[],
        source="manual",
        reason="simulation",
        as_of=end + spec.labels.mature_after,
        window_start=start,
        window_end=end,
    )
    # Windows that were found faulty later were not known then; a cap is of each training's window, not of the whole stretch.
    changed = {"exclude_faulted": False, "max_rows": math.ceil(spec.data.max_rows * ((end - start) / spec.data.window))}
    whole = spec.model_copy(update={"data": spec.data.model_copy(update=changed)})
    fetched = fetch_data(whole, apart, RunContext(spec.name, "simulate", "fetch_data"), order, url)
    raw = pd.read_parquet(fetched.path)
    served = with_features(spec, rt.settings.home, clean(spec, raw), folder)
    return History(spec, apart, raw, served)


def _between(frame: pd.DataFrame, column: str, start: datetime, end: datetime) -> pd.DataFrame:
    return frame[(frame[column] >= start) & (frame[column] < end)]
