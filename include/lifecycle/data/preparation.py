"""Stage prepare_data: clean the fetched rows and split them by time into training rows and what only evaluation sees.

The hold-out is the newest share of rows, cut at a day's boundary; between both lies a gap of the label delay, so that nothing
the model learnt from was decided after the hold-out began.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.data.targets import label_prior
from include.lifecycle.data.transformer import with_features
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.results import FetchedData, PreparedData, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import whole_folder
from include.lifecycle.training.cross_validation import disjoint_groups

if TYPE_CHECKING:
    import pandas as pd

Split = Callable[["pd.DataFrame"], tuple["pd.DataFrame", "pd.DataFrame"]]
TRAIN_FILE, HOLDOUT_FILE = "train.parquet", "holdout.parquet"
Times = NDArray[np.datetime64]


def prepare_data(spec: ModelSpec, rt: Runtime, run: RunContext, order: TrainingOrder, fetched: FetchedData) -> PreparedData:
    """Write train.parquet and holdout.parquet, both sorted by event time.

    Raises:
        DataInvalidError: no labelled row, no row left on one side of the split, one class only on a side, or a class of a
            multiclass target without a row to learn it from.
    """
    import pandas as pd

    where = f"model {spec.name}, run {run.run_id}"
    frame = clean(spec, pd.read_parquet(fetched.path))
    if frame.empty:
        raise DataInvalidError(f"{where}: no row of the window has a target")
    times = frame[spec.data.event_time].dt.tz_convert(None).to_numpy(dtype="datetime64[us]")
    cut = holdout_cut(times, spec.data.holdout)
    gap = np.timedelta64(spec.labels.mature_after, "us")

    def by_time(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        train, holdout = disjoint_groups(spec, rows[times < cut - gap], rows[times >= cut])
        _check_sides(spec, {"train": train, "hold-out": holdout}, order, where)
        return train, holdout

    return write_sides(spec, rt, run, frame, by_time, quarantined_rows=fetched.quarantined_rows)


def write_sides(
    spec: ModelSpec, rt: Runtime, run: RunContext, frame: pd.DataFrame, split: Split, *, quarantined_rows: int
) -> PreparedData:
    """Give cleaned rows their features, split them, and write both sides whole into the stage's folder."""
    folder = run.folder(rt.storage)
    with whole_folder(folder) as temporary:
        train, holdout = split(with_features(spec, rt.settings.home, frame, temporary))
        train.to_parquet(temporary / TRAIN_FILE, index=False, compression="zstd")
        holdout.to_parquet(temporary / HOLDOUT_FILE, index=False, compression="zstd")
    return PreparedData(
        train=folder / TRAIN_FILE,
        holdout=folder / HOLDOUT_FILE,
        train_rows=len(train),
        holdout_rows=len(holdout),
        fit_until=_newest(train, spec),
        holdout_until=_newest(holdout, spec),
        quarantined_rows=quarantined_rows,
        positive_share=float(train[spec.data.target].mean()) if spec.objective.task == "binary_classification" else None,
        label_prior=label_prior(spec, train),
    )


def clean(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with a target, oldest first; infinite numbers and blank categories become null, categories lose outer blanks."""
    frame = frame[frame[spec.data.target].notna()].copy()
    if spec.objective.task == "binary_classification":
        frame[spec.data.target] = frame[spec.data.target].astype("int8")
    for name in spec.features.read_numeric:
        frame[name] = frame[name].where(np.isfinite(frame[name].to_numpy(dtype=np.float64)))
    for name in spec.features.read_categorical:
        stripped = frame[name].str.strip()
        frame[name] = stripped.where(stripped != "")
    return frame.sort_values([spec.data.event_time, spec.data.key], kind="stable", ignore_index=True)


def holdout_cut(times: Times, share: float) -> np.datetime64:
    """The moment from which rows are hold-out: the day's boundary that leaves the share of newest rows nearest to `share`.

    `times` (n,) sorted, naive UTC. Rows of a single day have no boundary between them and are cut at the exact row instead.
    """
    days = np.unique(times.astype("datetime64[D]"))
    if len(days) < 2:
        return np.datetime64(times[min(len(times) - 1, round(len(times) * (1 - share)))])
    boundaries = days[1:].astype(times.dtype)
    newer = 1 - np.searchsorted(times, boundaries) / len(times)
    return np.datetime64(boundaries[int(np.argmin(np.abs(newer - share)))])


def _check_sides(spec: ModelSpec, sides: dict[str, pd.DataFrame], order: TrainingOrder, where: str) -> None:
    split = f"hold-out {spec.data.holdout:.0%} of the newest rows, gap {spec.labels.mature_after}"
    window = f"{order.window_start:%Y-%m-%d} to {order.window_end:%Y-%m-%d}"
    for side, rows in sides.items():
        if rows.empty:
            raise DataInvalidError(
                f"{where}: the {side} side of the split is empty ({split}, window {window}): too little time span"
            )
        if spec.objective.task != "regression" and rows[spec.data.target].nunique() < 2:
            only = rows[spec.data.target].iloc[0]
            raise DataInvalidError(f"{where}: the {side} side holds one class only ({only!r} in {len(rows)} rows; {split})")
    shares = label_prior(spec, sides["train"])
    if absent := [name for name, share in zip(spec.objective.classes, shares, strict=False) if not share]:
        raise DataInvalidError(f"{where}: the train side holds no row of {', '.join(absent)} (objective.classes; {split})")


def _newest(rows: pd.DataFrame, spec: ModelSpec) -> datetime:
    moment: datetime = rows[spec.data.event_time].max().to_pydatetime()
    return moment.astimezone(UTC)
