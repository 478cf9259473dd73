"""Which rows a scorer really saw: it hands back each batch that it scored, and the digest is made of those.

The comparison with champion and anchor asserts that all sides' digests are equal (champion.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.errors import LifecycleError
from include.lifecycle.evaluation.sample import rows_digest
from include.lifecycle.registry.scoring import BATCH_ROWS, fitted_scores, score
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats
from include.serving.engines import Engine
from include.serving.version_folder import ServingSpec

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

Batch = tuple["pd.DataFrame", Floats]
Scorer = Callable[["pd.DataFrame"], Iterator[Batch]]


@dataclass(frozen=True)
class Scored:
    """Key, event time and target of the rows in the order in which they were scored, and predictions p (n,) or (n, k)."""

    rows: pd.DataFrame
    p: Floats

    def after(self, spec: ModelSpec, moment: datetime) -> Scored:
        """Only the rows whose event time is after `moment`."""
        newer = (self.rows[spec.data.event_time] > moment).to_numpy()
        return Scored(self.rows[newer], self.p[newer])

    def digest(self, spec: ModelSpec) -> str:
        """Sha256 (hex) over the scored rows in their order."""
        return rows_digest(spec, self.rows)


def scored_rows(spec: ModelSpec, scorer: Scorer, frame: pd.DataFrame) -> Scored:
    """Score `frame` (n rows); LifecycleError when a batch's predictions are not one per row of that batch."""
    import pandas as pd

    names = [spec.data.key, spec.data.event_time, spec.data.target]
    seen: list[pd.DataFrame] = [frame[names].head(0)]
    found: list[Floats] = []
    for rows, p in scorer(frame):
        if len(rows) != len(p):
            raise LifecycleError(
                f"{spec.name}: a scorer answered {len(p)} predictions for {len(rows)} rows; allowed is one per row"
            )
        seen.append(rows[names])
        found.append(p)
    return Scored(pd.concat(seen) if len(seen) > 1 else seen[0], np.concatenate(found) if found else np.empty(0))


def engine_scorer(engine: Engine, serving: ServingSpec) -> Scorer:
    """Scores as the model server does, in bounded batches."""

    def _scorer(frame: pd.DataFrame) -> Iterator[Batch]:
        for rows in _batches(frame):
            yield rows, score(engine, serving, rows)

    return _scorer


def fitted_scorer(spec: ModelSpec, pipeline: Pipeline) -> Scorer:
    """Scores by the fitted pipeline, in bounded batches."""

    def _scorer(frame: pd.DataFrame) -> Iterator[Batch]:
        for rows in _batches(frame):
            yield rows, fitted_scores(pipeline, spec.features, rows)

    return _scorer


def _batches(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + BATCH_ROWS] for start in range(0, len(frame), BATCH_ROWS))


def assert_same_rows(model: str, sides: dict[str, tuple[str, int]]) -> str:
    """The digest that all sides share; LifecycleError names each side's rows and digest when they differ."""
    if len(set(sides.values())) != 1:
        told = "; ".join(f"{side}: {rows} rows, sha256 {digest[:16]}" for side, (digest, rows) in sides.items())
        raise LifecycleError(f"{model}: the sides of a comparison were scored on different rows or in another order ({told})")
    return next(iter(sides.values()))[0]
