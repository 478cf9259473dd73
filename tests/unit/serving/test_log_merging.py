"""How many files a log has after many compactions, and how often a byte is rewritten on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.lifecycle.monitoring.log_merging import FEWEST, _worth
from include.serving.log_manifest import CompactedFile

DAYS, A_DAY = 20, 288  # a compaction every five minutes


def compacted(number: int, at: datetime, size: int) -> CompactedFile:
    return CompactedFile(f"{number}.parquet", [], 10, at.isoformat(), at.isoformat(), size=size)


@pytest.mark.parametrize("size", [3_000, 200_000])
def test_files_stay_few_and_rewriting_is_bounded(size: int) -> None:
    files: list[CompactedFile] = []
    at, most, rewritten = datetime(2013, 1, 1, tzinfo=UTC), 0, 0
    for number in range(DAYS * A_DAY):
        at += timedelta(minutes=5)
        files.append(compacted(number, at, size))
        for group in list(_worth(files)):
            together = sum(file.size for file in group)
            merged = replace(group[-1], name=f"merged-{number}-{together}", size=together)
            files = [file for file in files if file not in group] + [merged]
            rewritten += together
        most = max(most, len(files))
    assert sum(file.size for file in files) == size * DAYS * A_DAY
    assert most <= 5 * FEWEST
    assert rewritten <= 4 * size * DAYS * A_DAY


def test_months_places_and_columns_are_not_mixed() -> None:
    january = [compacted(number, datetime(2013, 1, 3, tzinfo=UTC), 1_000) for number in range(FEWEST)]
    assert [len(group) for group in _worth(january)] == [FEWEST]
    assert list(_worth([*january[1:], compacted(99, datetime(2013, 2, 3, tzinfo=UTC), 1_000)])) == []
    assert list(_worth([*january[1:], replace(january[0], location="s3://bucket/logs")])) == []
    assert list(_worth([*january[1:], replace(january[0], features={"distance": "DOUBLE"})])) == []
    assert list(_worth([*january[1:], replace(january[0], units=True)])) == []
    assert list(_worth([replace(file, size=100_000_000) for file in january])) == []
