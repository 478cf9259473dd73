"""Builds a report, stores it among the model's reports, and removes what is older than `reports.keep`.

Called by the platform's report Dags and by `cli report`. Written whole; the same period again replaces its page.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from include.lifecycle.alerting.kinds import PLATFORM
from include.lifecycle.database import transaction
from include.lifecycle.reporting.page import Paragraph, Part, to_html
from include.lifecycle.reporting.periodic.contents import PERIODS_BEFORE, TITLES, parts_of
from include.lifecycle.reporting.periodic.figures import Figures, figures_of
from include.lifecycle.reporting.periodic.fleet import FLEET, fleet_parts
from include.lifecycle.reporting.periodic.material import read_alerts, read_material
from include.lifecycle.reporting.periodic.period import Period
from include.lifecycle.results import PeriodicReport
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import write_whole

FLEET_KEEPS = 60
"""Newest reports of each kind about the fleet that stay."""


def model_page(spec: ModelSpec, rt: Runtime, period: Period) -> tuple[str, Figures]:
    """The report of one model as HTML, and its figures. SourceUnavailableError when the database does not answer."""
    with transaction(rt.engine) as connection:
        material = read_material(connection, spec, period, rt.clock.now())
        history, earlier = [], period
        for _ in range(PERIODS_BEFORE[period.kind]):
            earlier = earlier.before
            history.append(figures_of(read_material(connection, spec, earlier, rt.clock.now(), whole=False)))
    figures = figures_of(material)
    title = f"{TITLES[period.kind]} of {spec.name}, {period.name}"
    parts = parts_of(material, figures, history[::-1])
    return to_html(title, [_about(period, rt, spec.description), *parts]), figures


def fleet_page(specs: Sequence[ModelSpec], rt: Runtime, period: Period) -> tuple[str, list[Figures]]:
    """The report of all models as HTML, and the figures of each. SourceUnavailableError as above."""
    now = rt.clock.now()
    with transaction(rt.engine) as connection:
        figures = [figures_of(read_material(connection, spec, period, now, whole=False)) for spec in specs]
        platform = read_alerts(connection, PLATFORM, period)
    title = f"{TITLES[period.kind]} of all models, {period.name}"
    return to_html(title, [_about(period, rt, ""), *fleet_parts(figures, platform)]), figures


def write_model_report(spec: ModelSpec, rt: Runtime, period: Period) -> PeriodicReport:
    """Write the model's report; errors as `model_page`."""
    page, _ = model_page(spec, rt, period)
    return _stored(rt, spec.name, period, page, keep=spec.reports.keep)


def write_fleet_report(specs: Sequence[ModelSpec], rt: Runtime, period: Period) -> PeriodicReport:
    """Write the fleet's report; errors as `fleet_page`."""
    page, _ = fleet_page(specs, rt, period)
    return _stored(rt, FLEET, period, page, keep=FLEET_KEEPS)


def _stored(rt: Runtime, model: str, period: Period, page: str, *, keep: int) -> PeriodicReport:
    path = rt.storage.reports(model) / period.page
    write_whole(path, page)
    return PeriodicReport(model=model, kind=period.kind, path=path, removed=_prune(path.parent, period, keep))


def _prune(folder: Path, period: Period, keep: int) -> int:
    old = sorted(folder.glob(f"report-{period.kind}-*.html"), reverse=True)[keep:]
    for page in old:
        with suppress(FileNotFoundError):
            page.unlink()
    return len(old)


def _about(period: Period, rt: Runtime, description: str) -> Part:
    now = rt.clock.now()
    told = f"{period.words} (UTC, event time), written {now:%Y-%m-%d %H:%M}."
    if now < period.end:
        told += " The period is not over."
    return Part("About", [Paragraph(f"{description} {told}".strip())])
