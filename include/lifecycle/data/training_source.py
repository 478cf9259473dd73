"""Which source a training reads, and by which statement: the model's query, its dataset, or the files this run was given."""

from __future__ import annotations

from dataclasses import dataclass

from include.lifecycle.data.dataset_source import DatasetSource, window_query
from include.lifecycle.data.given import GIVEN, check_given, given_format
from include.lifecycle.data.s3 import S3Account, account_of
from include.lifecycle.data.source import Database, Source, open_source
from include.lifecycle.data.sql import Value, binds, read_query, render_query
from include.lifecycle.errors import SettingsError, SourceQueryError
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.settings import Settings

Access = Database | S3Account | None


@dataclass(frozen=True)
class TrainingRows:
    """A source with the statement that returns the window's rows. `keeps_cutoff`: the query binds :label_cutoff itself."""

    source: Source
    query: str
    name: str
    noun: str
    keeps_cutoff: bool = False


def training_rows(spec: ModelSpec, rt: Runtime, order: TrainingOrder, access: Access, window: str) -> TrainingRows:
    """Where the order's rows come from; nothing is read yet but a dataset's schema.

    Raises:
        SourceQueryError: the query reads beyond its window or binds an unknown name; no file matches a dataset.
        SettingsError: the access does not fit the source.
    """
    if given := order.overrides.get(GIVEN):
        path = check_given(str(given), rt.settings, f"model {spec.name}")
        rows = _files(spec, rt, order, path, given_format(path), None, window)
        for file in rows.source.local_files() if isinstance(rows.source, DatasetSource) else ():
            check_given(file, rt.settings, f"model {spec.name}")  # a link among the files may lead elsewhere
        return rows
    if spec.data.dataset is not None:
        account = access if isinstance(access, S3Account) else None
        return _files(spec, rt, order, spec.data.dataset.path, spec.data.dataset.format, account, window)
    return _queried(spec, rt, order, access, window)


def _files(
    spec: ModelSpec, rt: Runtime, order: TrainingOrder, path: str, kind: str, account: S3Account | None, window: str
) -> TrainingRows:
    source = open_dataset(path, kind, account, rt.settings, f"model {spec.name}, dataset {path}, {window}")
    query = window_query(source, spec.data.event_time, order.window_start, order.window_end, spec.labels.known_at, order.as_of)
    return TrainingRows(source, query, f"dataset {path}", "dataset")


def open_dataset(path: str, kind: str, account: S3Account | None, settings: Settings, where: str) -> DatasetSource:
    """The files of `path`, relative to the project; on S3 by `account`, else by the settings' account."""
    if path.startswith("s3://"):
        return DatasetSource(where, path, kind, account or account_of(settings))
    return DatasetSource(where, path if path.startswith("/") else str(settings.home / path), kind)


def _queried(spec: ModelSpec, rt: Runtime, order: TrainingOrder, access: Access, window: str) -> TrainingRows:
    where = f"model {spec.name}, query {spec.data.query}, {window}"
    if access is None or isinstance(access, S3Account):
        raise SettingsError(f"{where}: connection {spec.data.connection!r} gives no database")
    text = read_query(rt.settings.sql_dir, str(spec.data.query), model=spec.name)
    bound = binds(text)
    for name in ("window_start", "window_end"):
        if name not in bound:
            raise SourceQueryError(f"{where}: the query does not use :{name}; it would read beyond its window")
    source = open_source(access, where)
    query = render_query(text, bind_values(spec, order), where=where, dialect=source.dialect)
    return TrainingRows(source, query, f"query {spec.data.query}", "query", keeps_cutoff="label_cutoff" in bound)


def bind_values(spec: ModelSpec, order: TrainingOrder) -> dict[str, Value]:
    """What a training query may bind."""
    return {
        "window_start": order.window_start,
        "window_end": order.window_end,
        "as_of": order.as_of,
        "label_cutoff": order.as_of - spec.labels.mature_after,
    }
