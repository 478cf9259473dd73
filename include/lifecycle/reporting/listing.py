"""The pages that lie among a model's reports (or the fleet's), for the REST routes that list them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from include.lifecycle.storage import Storage

_WINDOW = re.compile(r"^\d{8}T\d{4}-v\d+\.html$")
_PERIOD = re.compile(r"^report-(daily|weekly|monthly|quarterly)-")


class ReportPage(BaseModel):
    """One page: `kind` is daily, weekly, monthly, quarterly, window (Evidently's), or the page's first word (evaluation, ...)."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    written_at: datetime
    bytes: int
    link: str


def list_reports(storage: Storage, model: str, *, kind: str | None = None, limit: int = 100) -> list[ReportPage]:
    """The newest pages first (by wall time of writing), of all kinds or of one; none where there are none."""
    folder = storage.reports(model)
    pages = [] if not folder.is_dir() else [path for path in folder.glob("*.html") if kind in (None, kind_of_page(path.name))]
    stats = [(path.name, path.stat()) for path in pages if path.exists()]
    stats.sort(key=lambda pair: (-pair[1].st_mtime, pair[0]))
    return [
        ReportPage(
            name=name,
            kind=kind_of_page(name),
            written_at=datetime.fromtimestamp(found.st_mtime, UTC),
            bytes=found.st_size,
            link=f"/modelops/v1/models/{model}/reports/{name}",
        )
        for name, found in stats[:limit]
    ]


def kind_of_page(name: str) -> str:
    """What a page is, by its file name."""
    if _WINDOW.match(name):
        return "window"
    period = _PERIOD.match(name)
    return period[1] if period else name.partition("-")[0].removesuffix(".html")
