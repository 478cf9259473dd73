"""A small, mergeable summary of durations: counts in log-spaced buckets, from which any quantile is read with a known error.

Rollouts keep one per arm in their row, whatever the number of requests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

RELATIVE_ERROR = 0.02
_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)


@dataclass(frozen=True)
class Sketch:
    """Counts by bucket; bucket k holds (growth^(k - 1), growth^k], everything up to 1 stands in bucket 0. Unit: the values' own.

    Masson, Rim, Lee (2019), "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 12(12).
    From 10 microseconds to 100 seconds there are about 400 buckets.
    """

    counts: dict[int, int] = field(default_factory=dict)

    def plus(self, values: Sequence[float]) -> Sketch:
        """The summary of these values, too; negative ones count as 0."""
        if not values:
            return self
        scaled = np.log(np.maximum(np.asarray(values, dtype=np.float64), 1.0)) / math.log(_GROWTH)
        buckets, counts = np.unique(np.ceil(scaled - 1e-9).astype(int), return_counts=True)
        return self.merged(Sketch(dict(zip(buckets.tolist(), counts.tolist(), strict=True))))

    def merged(self, other: Sketch) -> Sketch:
        """The summary of both together."""
        both = dict(self.counts)
        for bucket, count in other.counts.items():
            both[bucket] = both.get(bucket, 0) + count
        return Sketch(both)

    @property
    def total(self) -> int:
        """Number of values."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float | None:
        """The value below which `share` (0 to 1) of the values lie, within RELATIVE_ERROR; None without values."""
        rank = share * (self.total - 1)
        below = 0
        for bucket in sorted(self.counts):
            below += self.counts[bucket]
            if below > rank:
                return float(2 * _GROWTH**bucket / (1 + _GROWTH)) if bucket else 1.0
        return None
