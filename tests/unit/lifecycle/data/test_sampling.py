"""Hash samples are deterministic, nested and within their cap."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.data.sampling import BUCKETS, bucket_of, largest_share, sample_mask

KEYS = st.lists(st.text(max_size=12), max_size=200)


@given(KEYS, st.integers(0, 200), st.integers(0, 200))
def test_a_smaller_sample_is_part_of_a_larger_one(keys: list[str], one: int, other: int):
    small, large = sorted((one, other))
    assert not np.any(sample_mask(keys, small) & ~sample_mask(keys, large))


@given(KEYS, st.integers(0, 200))
def test_the_cap_holds_and_everything_is_taken_when_it_fits(keys: list[str], cap: int):
    taken = int(sample_mask(keys, cap).sum())
    assert taken <= cap
    assert taken == len(keys) or len(keys) > cap


@given(KEYS, st.integers(0, 200), st.randoms())
def test_who_is_in_depends_on_the_keys_alone_not_on_their_order(keys: list[str], cap: int, random):
    shuffled = list(keys)
    random.shuffle(shuffled)
    chosen = {key for key, taken in zip(keys, sample_mask(keys, cap), strict=True) if taken}
    assert chosen == {key for key, taken in zip(shuffled, sample_mask(shuffled, cap), strict=True) if taken}


@given(st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 50), max_size=40), st.integers(0, 500))
def test_the_share_is_the_largest_within_the_cap(rows: dict[int, int], cap: int):
    share = largest_share(rows, cap)
    assert sum(count for bucket, count in rows.items() if bucket < share) <= cap
    assert share == BUCKETS or sum(count for bucket, count in rows.items() if bucket <= share) > cap


def test_buckets_are_known_and_even():
    assert bucket_of("T1") == 52809  # md5 ce49...
    counts = Counter(bucket_of(f"key-{number}") // (BUCKETS // 8) for number in range(8000))
    assert len(counts) == 8
    assert all(850 < count < 1150 for count in counts.values())
