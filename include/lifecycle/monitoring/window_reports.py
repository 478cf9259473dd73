"""Evidently's reports of measured windows, in a task of their own: a slow or broken report never delays a signal or a decision.

Which windows: `monitoring.report`. A window's row names its file; the newest `monitoring.report_keep` files of a model stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, RowMapping, Select, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from include.lifecycle.database import transaction
from include.lifecycle.errors import LifecycleError, ReportFailedError, SourceUnavailableError
from include.lifecycle.monitoring.predictions import open_log
from include.lifecycle.monitoring.profile import Profile, read_profile
from include.lifecycle.monitoring.report import evidently_snapshot
from include.lifecycle.monitoring.windows import NEWEST, Window
from include.lifecycle.monitoring.workspace import keep_snapshot
from include.lifecycle.results import ReportedWindows
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import write_whole
from include.lifecycle.tables import windows as table

log = logging.getLogger(__name__)
Profiles = Callable[[int], Profile]
MOST_PER_RUN = 3
"""Reports that one run writes, the newest windows first: after an outage people want the last hours, not all of them."""
_SPARE = 2  # so many times the sample is read of a large window: requests differ in their rows


def models_with_reports_due(connection: Connection, specs: Sequence[ModelSpec]) -> list[str]:
    """Names of the models that have a window whose report is still to be written."""
    return [spec.name for spec in specs if spec.monitoring.report != "off" and _due(connection, spec)]


def report_windows(spec: ModelSpec, rt: Runtime, *, profiles: Profiles | None = None) -> ReportedWindows:
    """Write the due reports of one model, newest window first, and remove files beyond `monitoring.report_keep`.

    `profiles`: where a version's reference comes from (default: the registry).

    Raises:
        ReportFailedError: a report could not be written; the others were. The window's measurements and signals stand anyway.
        SourceUnavailableError: database, log or MLflow did not answer (retryable).
    """
    read = profiles or (lambda version: _registered_profile(rt, spec.name, version))
    with transaction(rt.engine) as connection:
        due = _due(connection, spec) if spec.monitoring.report != "off" else []
    written: list[Path] = []
    failed: dict[str, str] = {}
    for row in due:
        try:
            if row["known"] is not None:
                _name_file(spec, rt, row, Path(row["known"]))
            elif (profile := _profile_or_none(read, row["version"])) is not None:
                written.append(_write(spec, rt, row, profile))
        except SourceUnavailableError:
            raise
        except Exception as problem:
            log.exception("the report of window %s, version %d broke", row["window_start"], row["version"])
            failed[page_name(row["window_start"], row["version"])] = f"{type(problem).__name__}: {problem}"[:300]
    removed = _prune(spec, rt)
    if failed:
        raise ReportFailedError(f"reports of {spec.name} that could not be written: {failed}; written: {len(written)}")
    return ReportedWindows(model=spec.name, reports=written, removed=removed)


def page_name(start: datetime, version: int) -> str:
    """File name of a window's report among the model's reports."""
    return f"{start:%Y%m%dT%H%M}-v{version}.html"


def _due(connection: Connection, spec: ModelSpec) -> list[RowMapping]:
    """Newest revisions without a report, newest window first, among those that a monitoring run looks back on.

    `known` is the file that an earlier revision of the same window has: late labels change no input.
    """
    rows = [row for row in connection.execute(_newest(spec)).mappings() if row["report"] is None]
    if spec.monitoring.report == "failed":
        rows = [row for row in rows if any(verdict["outcome"] == "fail" for verdict in row["verdicts"])]
    return rows[:MOST_PER_RUN]


def _newest(spec: ModelSpec) -> Select[tuple[object, ...]]:
    columns = (table.c.version, table.c.window_start, table.c.window_end, table.c.rows, table.c.report, table.c.verdicts)
    same = (table.c.window_start, table.c.window_end, table.c.version)
    known = func.max(table.c.report).over(partition_by=same).label("known")
    newest = select(*columns, known).where(table.c.model == spec.name, table.c.rows >= spec.monitoring.minimum_rows)
    keys = (table.c.window_start.desc(), table.c.window_end, table.c.version)
    found = newest.ext(distinct_on(*same))
    return found.order_by(*keys, table.c.revision.desc()).limit(NEWEST)


def _write(spec: ModelSpec, rt: Runtime, row: RowMapping, profile: Profile) -> Path:
    window, folder = Window(row["window_start"], row["window_end"]), rt.storage.predictions(spec.name)
    share = min(1.0, _SPARE * spec.monitoring.report_rows / row["rows"])
    with open_log(spec, folder, window.start, window.end, configured=rt.settings, share=share) as predictions:
        found = predictions.read(row["version"], window)
    if not found.rows:
        raise ReportFailedError(f"the prediction log holds no row of version {row['version']} in {window.start} to {window.end}")
    snapshot = evidently_snapshot(spec, profile, found)
    path = rt.storage.reports(spec.name) / page_name(window.start, row["version"])
    write_whole(path, snapshot.get_html_str(as_iframe=False))
    if spec.monitoring.workspace:
        keep_snapshot(rt.storage.root, spec.name, row["version"], window, snapshot, keep=spec.monitoring.report_keep)
    _name_file(spec, rt, row, path)
    return path


def _name_file(spec: ModelSpec, rt: Runtime, row: RowMapping, path: Path) -> None:
    """Note the file in all revisions of the window."""
    mine = [table.c[name] == row[name] for name in ("version", "window_start", "window_end")]
    with transaction(rt.engine) as connection:
        connection.execute(update(table).where(table.c.model == spec.name, *mine).values(report=str(path)))


def _prune(spec: ModelSpec, rt: Runtime) -> int:
    """Remove the oldest files; the rows keep their names, so that a window is not reported again."""
    pages = sorted(rt.storage.reports(spec.name).glob("[0-9]*T[0-9]*-v[0-9]*.html"), reverse=True)
    old = pages[spec.monitoring.report_keep :]
    for page in old:
        with suppress(FileNotFoundError):  # another run was quicker
            page.unlink()
    return len(old)


def _registered_profile(rt: Runtime, model: str, version: int) -> Profile:
    from include.lifecycle.registry.artefacts import materialise_profile

    return read_profile(materialise_profile(rt, model, version))


def _profile_or_none(read: Profiles, version: int) -> Profile | None:
    """The profile; None for a version that never had a good one, which no retry can change."""
    try:
        return read(version)
    except SourceUnavailableError:
        raise
    except LifecycleError as problem:
        log.warning("version %d has no usable reference profile, so its windows get no report: %s", version, problem)
        return None
