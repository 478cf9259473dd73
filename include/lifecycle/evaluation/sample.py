"""The rows that verdicts rest on: labels, blocks and their resamples, and intervals of metrics on them.

All gates of one evaluation share one sample's resamples, so that differences are paired.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from include.lifecycle.data.targets import labels_of
from include.lifecycle.evaluation.metrics import Metric
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import (
    MINIMUM_BLOCKS,
    Codes,
    Floats,
    Interval,
    block_codes,
    resample_weights,
    resampled_interval,
)

if TYPE_CHECKING:
    import pandas as pd

# Groups of independent entities are independent too, and the weights of millions of single ones would not fit into memory.
MOST_BLOCKS = 2_000


@dataclass(frozen=True)
class Sample:
    """Labels y (n,) as `labels_of` reads them, block of each row (n,), block weights (resamples, blocks), and a digest of which
    rows these are."""

    y: Floats
    codes: Codes
    weights: Floats
    confidence: float
    minimum_rows: int
    block: str
    digest: str

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def blocks(self) -> int:
        """Number of blocks (days or entities)."""
        return int(self.weights.shape[1])

    @property
    def shortage(self) -> str | None:
        """Why no verdict can rest on this sample, or None."""
        if self.rows < self.minimum_rows:
            return f"{self.rows} rows; evaluation.minimum_rows is {self.minimum_rows}"
        if self.blocks < MINIMUM_BLOCKS:
            return f"{self.blocks} blocks of one {self.block}; an interval needs {MINIMUM_BLOCKS}"
        return None

    def value(self, metric: Metric, p: Floats) -> Interval:
        """A metric of predictions p (n,), or probabilities (n, k), with its interval."""
        samples = metric.resample(self.y, p, self.codes, self.weights)
        return resampled_interval(metric.score(self.y, p), samples, self.blocks, self.confidence)

    def gain(self, metric: Metric, new: Floats, old: Floats) -> Interval:
        """By how much `new` is better than `old` (the same rows) in the metric; positive is better whatever its direction."""
        new_values, old_values = (metric.resample(self.y, p, self.codes, self.weights) for p in (new, old))
        estimate = metric.gain(np.array([metric.score(self.y, new)]), np.array([metric.score(self.y, old)]))[0]
        return resampled_interval(float(estimate), metric.gain(new_values, old_values), self.blocks, self.confidence)

    def evidence(self) -> dict[str, object]:
        """What the sample is, JSON-plain."""
        return {"rows": self.rows, "blocks": self.blocks, "block": self.block, "rows_digest": self.digest}


def sample_of(spec: ModelSpec, frame: pd.DataFrame) -> Sample:
    """The sample of a table with key, event time and target (empty tables give an empty sample of one block)."""
    codes, blocks = _blocks(spec, frame)
    return Sample(
        y=labels_of(spec, frame).astype(np.float64),
        codes=codes,
        weights=resample_weights(max(1, blocks), spec.evaluation.resamples, spec.training.seed),
        confidence=spec.evaluation.confidence,
        minimum_rows=spec.evaluation.minimum_rows,
        block=spec.evaluation.resample_by,
        digest=rows_digest(spec, frame),
    )


def _blocks(spec: ModelSpec, frame: pd.DataFrame) -> tuple[Codes, int]:
    """Days, or values of `evaluation.entity` (else the key). More than MOST_BLOCKS entities are dealt into so many groups."""
    if spec.evaluation.resample_by == "day":
        return block_codes(frame[spec.data.event_time].dt.floor("D").dt.tz_convert(None).to_numpy())
    codes, blocks = block_codes(frame[spec.evaluation.entity or spec.data.key].astype(str).to_numpy())
    if blocks <= MOST_BLOCKS:
        return codes, blocks
    dealt = np.random.default_rng(spec.training.seed).permutation(blocks) % MOST_BLOCKS
    return dealt[codes].astype(np.intp), MOST_BLOCKS


def rows_digest(spec: ModelSpec, frame: pd.DataFrame) -> str:
    """Sha256 (hex) over key, event time and target of the rows in order: two models were judged on the same rows or not."""
    from pandas.util import hash_pandas_object

    identity = frame[[spec.data.key, spec.data.event_time, spec.data.target]]
    return hashlib.sha256(hash_pandas_object(identity, index=False).to_numpy().tobytes()).hexdigest()
