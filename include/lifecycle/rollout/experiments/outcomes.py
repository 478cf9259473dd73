"""What came of the answers: success or loss by mature labels, and the business's own values, all per sticky key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.data.pii import key_hash
from include.lifecycle.data.s3 import S3Account
from include.lifecycle.data.source import open_source
from include.lifecycle.data.sql import read_query, render_query
from include.lifecycle.data.training_source import Access
from include.lifecycle.errors import SettingsError, SourceQueryError
from include.lifecycle.monitoring.labels import fetch_labels
from include.lifecycle.rollout.experiments.exposure import Exposed
from include.lifecycle.sections.rollout_strategies import AbBusinessSection
from include.lifecycle.sections.training import ObjectiveSection
from include.lifecycle.statistics.difference import Floats, means_by_unit
from include.serving.prediction_log import unit_of

if TYPE_CHECKING:
    from include.lifecycle.spec import ModelSpec
    from include.settings import Settings

SUCCESS, LOSS, BUSINESS = "success", "loss", "business"


def span(exposed: Exposed) -> tuple[datetime, datetime]:
    """Event times of the rows, [first, last + 1 microsecond). There must be a row."""
    first, last = (_moment(int(at)) for at in (exposed.times.min(), exposed.times.max() + 1))
    return first, last


def matched_labels(spec: ModelSpec, settings: Settings, access: Access, exposed: Exposed, now: datetime) -> Floats:
    """Mature label of each row (n,), NaN where there is none yet. Raises what fetch_labels raises."""
    if exposed.times.size == 0:
        return np.empty(0)
    return fetch_labels(spec, settings, access, *span(exposed), now).match(exposed.keys, exposed.times)


def label_metrics(objective: ObjectiveSection, exposed: Exposed, labels: Floats) -> dict[str, Floats]:
    """`success` (classification) and `loss` of each key (keys,), NaN for keys without a mature label.

    success: share of right decisions. loss: mean Brier score (Brier 1950; multiclass: summed over the classes), or the mean
    absolute error of a regression.
    """
    rows = {LOSS: _losses(objective, exposed, labels)}
    if objective.task != "regression":
        rows[SUCCESS] = np.where(np.isfinite(labels), _decisions(objective, exposed) == labels, np.nan).astype(np.float64)
    return {name: _per_key(values, exposed) for name, values in rows.items()}


def business_values(
    spec: ModelSpec, business: AbBusinessSection, settings: Settings, access: Access, exposed: Exposed, now: datetime
) -> Floats:
    """The business's value of each key (keys,), by the query as it answers now; `missing` says what no row means.

    Raises:
        SourceQueryError: the query was refused, lacks a column, or names a key twice.
        SourceUnavailableError: the database did not answer.
        SettingsError: the model's connection is of no database.
    """
    if exposed.times.size == 0:
        return np.full(len(exposed.units), np.nan)
    found = _asked(spec, str(business.query), settings, access, (*span(exposed), now))
    nothing = 0.0 if business.missing == "zero" else np.nan
    if business.per == "sticky":
        hashed = {unit_of(key): value for key, value in found.items()}
        return np.array([hashed.get(unit, nothing) for unit in exposed.units], dtype=np.float64)
    if keyed := key_hash(spec, settings.pii_key_file):  # the prediction log holds hashed keys, too
        found = {str(keyed(key)): value for key, value in found.items()}
    return _per_key(np.array([found.get(key, nothing) for key in exposed.keys], dtype=np.float64), exposed)


def _asked(
    spec: ModelSpec, name: str, settings: Settings, access: Access, times: tuple[datetime, datetime, datetime]
) -> dict[str, float]:
    where = f"business values of {spec.name} ({name})"
    if access is None or isinstance(access, S3Account):
        raise SettingsError(f"{where}: connection {spec.data.connection!r} gives no database")
    source = open_source(access, where)
    values = dict(zip(("window_start", "window_end", "as_of"), times, strict=True))
    query = render_query(read_query(settings.sql_dir, name, model=spec.name), values, where=where, dialect=source.dialect)
    source.check()
    pairs: list[tuple[Any, Any]] = []
    with source.stream(query) as rows:
        if missing := [column for column in ("key", "value") if column not in rows.schema.names]:
            raise SourceQueryError(f"{where}: column {', '.join(missing)} is missing; the query must return key and value")
        for batch in rows:
            pairs += zip(batch.column("key").to_pylist(), batch.column("value").to_pylist(), strict=True)
    return _one_per_key(pairs, where)


def _one_per_key(pairs: list[tuple[Any, Any]], where: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in pairs:
        if key is None:
            continue
        if str(key) in found:
            raise SourceQueryError(f"{where}: key {str(key)!r} comes more than once; the query must return one row per key")
        found[str(key)] = np.nan if value is None else float(value)
    return found


def _decisions(objective: ObjectiveSection, exposed: Exposed) -> Floats:
    """What was decided (n,): 0 or 1 by the threshold, or the class's number."""
    if objective.task == "binary_classification":
        return (exposed.values >= objective.threshold).astype(np.float64)
    return exposed.values


def _losses(objective: ObjectiveSection, exposed: Exposed, labels: Floats) -> Floats:
    if objective.task == "regression":
        return np.abs(exposed.values - labels)
    if exposed.probabilities is None:
        return (exposed.values - labels) ** 2
    truth = labels[:, None] == np.arange(exposed.probabilities.shape[1])
    squares = ((exposed.probabilities - truth) ** 2).sum(axis=1)
    return np.where(np.isfinite(labels), squares, np.nan)


def _per_key(values: Floats, exposed: Exposed) -> Floats:
    some = np.isfinite(values)
    return means_by_unit(values[some], exposed.codes[some], len(exposed.units))


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
