"""Hash samples: a row's bucket comes from the md5 of its key alone, so the samples of two days agree on who is in.

The same bucket is computed by databases that have md5 (dialects.py) and in Python (other sources, rows for tuning).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

BUCKETS = 65_536


def bucket_of(key: str) -> int:
    """Bucket in [0, BUCKETS): the first four hex digits of the key's md5."""
    return int(hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[:4], 16)


def largest_share(rows_by_bucket: Mapping[int, int], cap: int) -> int:
    """How many buckets, counted from 0, hold at most `cap` rows together. 0 when the first filled one alone is above it."""
    total = 0
    for bucket in sorted(rows_by_bucket):
        total += rows_by_bucket[bucket]
        if total > cap:
            return bucket
    return BUCKETS


def sample_mask(keys: Iterable[str], cap: int) -> NDArray[np.bool_]:
    """Boolean mask [n]: the hash sample of at most `cap` rows; all rows when they fit."""
    buckets = np.fromiter((bucket_of(key) for key in keys), dtype=np.int64)
    if len(buckets) <= cap:
        return np.ones(len(buckets), dtype=np.bool_)
    filled, counts = np.unique(buckets, return_counts=True)
    share = largest_share(dict(zip(filled.tolist(), counts.tolist(), strict=True)), cap)
    return np.asarray(buckets < share, dtype=np.bool_)
