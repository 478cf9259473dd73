"""A registered version scored again on rows that it has not learnt from: floor, baseline and fairness, without any effect.

Its served artefact answers, digest checked, as clients see it. `cli evaluate` asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy import URL

from include.lifecycle.data.targets import label_prior
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.evaluation.champion import load_champion
from include.lifecycle.evaluation.evaluate import judge_alone
from include.lifecycle.ledger import SilentLedger
from include.lifecycle.registry.scoring import score
from include.lifecycle.results import TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import Storage
from include.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class FreshEvaluation:
    """What version `version` showed on `rows` rows of event time [start, end)."""

    version: int
    start: datetime
    end: datetime
    rows: int
    metrics: dict[str, float]
    verdicts: list[Verdict]


def evaluate_version(
    spec: ModelSpec, rt: Runtime, url: URL | None, version: int, *, start: datetime | None = None, end: datetime | None = None
) -> FreshEvaluation:
    """Score the version on the source's rows after its `fit_until` (and `start`), with mature labels (and before `end`).

    Raises:
        DataInvalidError: there are no such rows yet.
        ArtefactDigestError: its files are not what was registered.
        SourceUnavailableError, SourceQueryError: the source or MLflow did not answer, or refused.
    """
    held = load_champion(rt, spec.name, version)
    mature = rt.clock.now() - spec.labels.mature_after
    since, until = max(held.fit_until, start or held.fit_until), min(end or mature, mature)
    if since >= until:
        raise DataInvalidError(
            f"{spec.name} version {version} learnt until {held.fit_until:%Y-%m-%d %H:%M} UTC: no mature rows between then and "
            f"{until:%Y-%m-%d %H:%M} UTC"
        )
    rows = _rows(spec, rt, url, since, until)
    rows = rows[rows[spec.data.event_time] > held.fit_until]
    if rows.empty:
        raise DataInvalidError(f"{spec.name} version {version}: no labelled row after {since:%Y-%m-%d %H:%M} UTC")
    scores = score(held.engine, held.serving, rows)
    # The rows' own rate, mean or shares are the best constant there is for them, so the baseline is as strict as one can be.
    alone = judge_alone(spec, rows, scores, label_prior(spec, rows))
    return FreshEvaluation(version, since, until, len(rows), alone.metrics, alone.verdicts)


def _rows(spec: ModelSpec, rt: Runtime, url: URL | None, since: datetime, until: datetime) -> pd.DataFrame:
    """Cleaned rows of the window; what is fetched lies in a temporary folder."""
    import pandas as pd

    from include.lifecycle.data.fetch import fetch_data
    from include.lifecycle.data.preparation import clean

    order = TrainingOrder(
        model=spec.name,
        request_ids=[],
        source="manual",
        reason="evaluation",
        as_of=rt.clock.now(),
        window_start=since,
        window_end=until,
    )
    with TemporaryDirectory(prefix="modelops-evaluate-") as folder:
        apart = Runtime(rt.settings, rt.clock, Storage(Path(folder)), rt.engine, SilentLedger(rt.engine, rt.clock))
        fetched = fetch_data(spec, apart, RunContext(spec.name, "evaluate", "fetch_data"), order, url)
        return clean(spec, pd.read_parquet(fetched.path))
