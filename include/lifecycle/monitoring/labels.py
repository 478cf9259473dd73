"""True outcomes: fetched by the model's labels query, kept when mature, joined to predictions on (key, event time)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.data.event_times import as_utc
from include.lifecycle.data.label_source import label_rows
from include.lifecycle.data.pii import key_hash
from include.lifecycle.data.source import RowStream
from include.lifecycle.data.targets import class_numbers
from include.lifecycle.data.training_source import Access
from include.lifecycle.errors import SourceQueryError
from include.lifecycle.monitoring.predictions import Objects, Predictions, Times
from include.lifecycle.monitoring.windows import microseconds

if TYPE_CHECKING:
    import pandas

    from include.lifecycle.spec import ModelSpec
    from include.settings import Settings

Floats = NDArray[np.float64]
COLUMNS = ("key", "event_time", "label", "known_at")


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Label rows with a key as they came, all (n,): `skewed` are known before their event or in the future, `conflicting`
    contradict another row of the same key, event time and `known_at`, `repeated` say the same once more."""

    keys: Objects
    times: Times
    skewed: NDArray[np.bool_]
    conflicting: NDArray[np.bool_]
    repeated: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Labels:
    """Mature labels, one per (key, event time), as the key of `positions`: (text key, microseconds) -> place in `values`.

    `arrivals`: the rows behind them, where they were asked of a source. `groups`: attributes of evaluation.fairness that came
    with them, one value per label."""

    positions: dict[tuple[str, int], int]
    values: Floats
    arrivals: Arrivals | None = None
    groups: dict[str, Objects] = field(default_factory=dict)

    def places(self, keys: Objects, times: Times) -> Times:
        """Place of the label of each (key, event time) in `values`, -1 where none is mature."""
        found = [self.positions.get((key, time), -1) for key, time in zip(keys, times.tolist(), strict=True)]
        return np.array(found, dtype=np.int64)

    def match(self, keys: Objects, times: Times) -> Floats:
        """Label of each (key, event time), NaN where none is mature."""
        return np.append(self.values, np.nan)[self.places(keys, times)]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Predictions that have a mature label: `labels` (m,) as the task's metrics take them, `values` = Predictions.scores,
    `times` (microseconds); `coverage` = m / rows; `places` (m,): which of the window's rows they are. `groups`:
    attributes that came with the labels, by name (m,)."""

    labels: Floats
    values: Floats
    times: Times
    coverage: float
    places: Times | None = None
    groups: dict[str, Objects] = field(default_factory=dict)


def fetch_labels(spec: ModelSpec, settings: Settings, access: Access, start: datetime, end: datetime, as_of: datetime) -> Labels:
    """Ask for the outcomes of event time [start, end) as known at `as_of`, and keep what is mature.

    `access`: database of the labels query; for a dataset its S3 account, or None.

    Raises:
        SourceUnavailableError: the source did not answer (retryable).
        SourceQueryError: it refused the query, or a column is missing.
    """
    source, query = label_rows(spec, settings, access, start, end, as_of)
    source.check()
    with source.stream(query) as rows:
        frame = _frame(rows, source.where, fairness_columns(spec))
    if keyed := key_hash(spec, settings.pii_key_file):  # the prediction log holds hashed keys, too
        frame["key"] = keyed.all(None if key is None else str(key) for key in frame["key"])
    newest_event = microseconds(as_of) - round(spec.labels.mature_after.total_seconds() * 1e6)
    found = mature_labels(frame, as_of, newest_event, spec.objective.classes)
    return replace(found, arrivals=arrivals_of(frame, as_of, spec.monitoring.labels.clock_skew))


def arrivals_of(frame: pandas.DataFrame, as_of: datetime, clock_skew: timedelta) -> Arrivals:
    """What is odd about the rows of a table with COLUMNS; times may be off by `clock_skew`."""
    import pandas

    frame = frame[frame["key"].notna()]
    if frame.empty:
        none = np.zeros(0, dtype=bool)
        return Arrivals(np.empty(0, dtype=object), np.empty(0, dtype=np.int64), none, none, none)
    events, known = (pandas.to_datetime(frame[name], utc=True) for name in ("event_time", "known_at"))
    times = events.dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    plain = pandas.DataFrame({"key": frame["key"].astype(str), "at": times, "known": known, "label": frame["label"].astype(str)})
    same = ["key", "at", "known"]
    repeated = plain.duplicated([*same, "label"], keep="first").to_numpy()
    conflicting = (plain.groupby(same, dropna=False)["label"].transform("nunique") > 1).to_numpy(dtype=bool)
    skewed = ((known < events - clock_skew) | (known > as_of + clock_skew)).to_numpy()
    return Arrivals(plain["key"].to_numpy(object), times, skewed, conflicting, repeated)


def fairness_columns(spec: ModelSpec) -> list[str]:
    """Attributes that a labels query may return beside COLUMNS: those that are no feature and need not be hidden."""
    fairness = spec.evaluation.fairness
    names = dict.fromkeys([*fairness.attributes, *(name for names in fairness.intersections for name in names)])
    hidden = {name for name, column in spec.columns.items() if column.pii != "keep"}
    return [name for name in names if name not in (*spec.features.all, *COLUMNS) and name not in hidden]


def _frame(rows: RowStream, where: str, optional: Sequence[str]) -> pandas.DataFrame:
    """The columns as objects: key as text, both times as UTC. As numbers, whole keys beside a null would join with nothing."""
    import pandas

    if missing := [name for name in COLUMNS if name not in rows.schema.names]:
        raise SourceQueryError(f"{where}: column {', '.join(missing)} is missing; the query must return {', '.join(COLUMNS)}")
    extra = [name for name in optional if name in rows.schema.names]
    parts: dict[str, list[Any]] = {name: [] for name in (*COLUMNS, *extra)}
    for batch in rows:
        for name in ("key", "label", *extra):
            parts[name].extend(batch.column(name).to_pylist())
        for name in ("event_time", "known_at"):
            parts[name].extend(as_utc(batch.column(name), name, where).to_pylist())
    return pandas.DataFrame(parts, columns=list(parts), dtype=object)


def mature_labels(frame: pandas.DataFrame, as_of: datetime, newest_event: int, classes: Sequence[str] = ()) -> Labels:
    """From a table with COLUMNS, and attributes beside them: known by `as_of`, event not after `newest_event` (microseconds); the
    newest `known_at` wins.

    A row without a key labels nothing, nor does a label that is no number, or with `classes` none of their names.
    """
    import pandas

    frame = frame[frame["key"].notna()]
    if frame.empty:
        return Labels({}, np.empty(0))
    events = pandas.to_datetime(frame["event_time"], utc=True).dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    known = pandas.to_datetime(frame["known_at"], utc=True)
    numbers = pandas.to_numeric(frame["label"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    values = class_numbers(frame["label"], classes) if classes else numbers
    plain = pandas.DataFrame({"key": frame["key"].astype(str), "at": events, "value": values, "known": known})
    extra = [name for name in frame.columns if name not in COLUMNS]
    plain = plain.assign(**{f"group {name}": frame[name].to_numpy(object) for name in extra})
    plain = plain[(plain["known"] <= as_of) & (plain["at"] <= newest_event) & plain["value"].notna()]
    newest = plain.sort_values("known", kind="stable").drop_duplicates(["key", "at"], keep="last")
    pairs = zip(newest["key"].tolist(), newest["at"].tolist(), strict=True)
    groups = {name: newest[f"group {name}"].to_numpy(object) for name in extra}
    return Labels({pair: place for place, pair in enumerate(pairs)}, newest["value"].to_numpy(np.float64), groups=groups)


def labelled_predictions(predictions: Predictions, labels: Labels) -> Labelled:
    """The part of `predictions` whose outcome is known and mature."""
    places = labels.places(predictions.keys, predictions.times)
    found = np.append(labels.values, np.nan)[places]
    scores = predictions.scores
    some = np.isfinite(found) & np.isfinite(scores if scores.ndim == 2 else scores[:, None]).all(axis=1)
    share = float(some.mean()) if some.size else 0.0
    groups = {name: values[places[some]] for name, values in labels.groups.items()}
    return Labelled(found[some], scores[some], predictions.times[some], share, np.flatnonzero(some), groups)
