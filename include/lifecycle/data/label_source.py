"""Where outcomes are asked for: the model's labels query, or the target column of its dataset."""

from __future__ import annotations

from datetime import datetime

from include.lifecycle.data.dataset_source import TABLE, DatasetSource
from include.lifecycle.data.s3 import S3Account
from include.lifecycle.data.source import Source, open_source
from include.lifecycle.data.sql import Value, read_query, render_query
from include.lifecycle.data.training_source import Access, open_dataset
from include.lifecycle.errors import SettingsError
from include.lifecycle.spec import ModelSpec
from include.settings import Settings


def label_rows(
    spec: ModelSpec, settings: Settings, access: Access, start: datetime, end: datetime, as_of: datetime
) -> tuple[Source, str]:
    """Source and statement of the columns key, event_time, label, known_at over event time [start, end).

    Raises:
        SettingsError: the access does not fit.
        SourceQueryError: the query binds an unknown name; no file matches a dataset.
    """
    if spec.data.dataset is not None:
        where = f"labels of {spec.name} (dataset {spec.data.dataset.path})"
        account = access if isinstance(access, S3Account) else None
        source = open_dataset(spec.data.dataset.path, spec.data.dataset.format, account, settings, where)
        return source, _dataset_query(spec, source, start, end)
    where = f"labels of {spec.name} ({spec.labels.query})"
    if access is None or isinstance(access, S3Account):
        raise SettingsError(f"{where}: connection {spec.data.connection!r} gives no database")
    database = open_source(access, where)
    values: dict[str, Value] = {"window_start": start, "window_end": end, "as_of": as_of}
    values["label_cutoff"] = as_of - spec.labels.mature_after
    text = read_query(settings.sql_dir, str(spec.labels.query), model=spec.name)
    return database, render_query(text, values, where=where, dialect=database.dialect)


def _dataset_query(spec: ModelSpec, source: DatasetSource, start: datetime, end: datetime) -> str:
    """Without a column that says when, an outcome was known once it was mature."""
    quoted, at = source.dialect.quoted, source.dialect.timestamp
    time = source.event_time_sql(spec.data.event_time)
    mature = round(spec.labels.mature_after.total_seconds() * 1e6)
    known = source.event_time_sql(spec.labels.known_at) if spec.labels.known_at else f"{time} + INTERVAL ({mature}) MICROSECOND"
    target, window = quoted(spec.data.target), f"{time} >= {at(start)} AND {time} < {at(end)}"
    return (
        f"SELECT {quoted(spec.data.key)} AS key, {time} AS event_time, {target} AS label, {known} AS known_at "  # noqa: S608 - quoted
        f"FROM {TABLE} WHERE {window} AND {target} IS NOT NULL"
    )
