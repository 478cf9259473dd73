"""Slices of a large window: they cover it once, the log's size is judged about right, and the sample is uniform and bounded."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.monitoring.counting.sampling import Sample, joined, taken
from include.lifecycle.monitoring.counting.shards import Shard, shards_of, stored_shard
from include.lifecycle.monitoring.counting.slices import estimated_rows, slices
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.storage import Storage
from include.serving.log_manifest import CompactedFile
from tests.unit.lifecycle.monitoring.examples import MODEL, START, as_predictions, log_lines, make_table, write_log

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WINDOW = Window(START, START + DAY)


@given(st.integers(0, 10**8), st.integers(1000, 10**6))
def test_slices_cover_the_window_once(rows, most):
    found = slices(WINDOW, rows, max(most, rows // 500))
    assert (found[0].start, found[-1].end) == (WINDOW.start, WINDOW.end)
    assert all(first.end == second.start for first, second in pairwise(found))
    assert len(found) == max(1, -(-rows // max(most, rows // 500)))


def test_an_empty_log_has_no_rows(tmp_path):
    assert estimated_rows(tmp_path, START, START + DAY) == 0


def test_segments_count_by_their_share_of_the_range(tmp_path):
    frame, honest = make_table(2, per_day=500)
    write_log(tmp_path, log_lines(frame, honest, version=1), version=1)
    assert estimated_rows(tmp_path, START, START + 2 * DAY) == pytest.approx(1000, rel=0.1)
    assert estimated_rows(tmp_path, START, START + DAY) == pytest.approx(500, rel=0.15)
    assert estimated_rows(tmp_path, START - DAY, START) == 0
    write_log(tmp_path, ['{"torn'], version=2)
    assert estimated_rows(tmp_path, START, START + DAY) == pytest.approx(500, rel=0.15)


def test_compacted_files_count_by_their_share_of_the_range(tmp_path):
    times = START.isoformat(), (START + 10 * HOUR).isoformat()
    files = [CompactedFile("one.parquet", [], 10_000, *times), CompactedFile("empty.parquet", [], 0, None, None)]
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [asdict(file) for file in files], "removing": []}))
    assert estimated_rows(tmp_path, START, START + HOUR) == 1000
    assert estimated_rows(tmp_path, START - DAY, START + DAY) == 10_000
    assert estimated_rows(tmp_path, START + DAY, START + 2 * DAY) == 0


def parts_of(rows, parts):
    frame, honest = make_table(1, per_day=rows, seed=3)
    whole = as_predictions(frame, honest, days=1)
    place = np.arange(whole.rows) * parts // whole.rows
    return whole, [taken(whole, place == part) for part in range(parts)]


def test_a_sample_is_bounded_uniform_and_the_same_again():
    whole, parts = parts_of(20_000, 40)
    samples = []
    for _ in range(2):
        sample = Sample(1, 1000)
        for part in parts:
            sample.add(part, part.rows)
        samples.append(sample.whole(WINDOW))
    first, second = samples
    assert 1000 <= first.rows <= 2000
    assert (first.total, whole.total) == (20_000, 20_000)
    assert first.keys.tolist() == second.keys.tolist()
    by_part = np.histogram(np.isin(whole.keys, first.keys).nonzero()[0], bins=10, range=(0, whole.rows))[0]
    expected = first.rows / 10
    assert (np.abs(by_part - expected) < 5 * np.sqrt(expected)).all()  # early slices are thinned as often as late ones


def test_a_small_window_is_sampled_whole():
    whole, parts = parts_of(600, 3)
    sample = Sample(1, 1000)
    for part in parts:
        sample.add(part, part.rows)
    found = sample.whole(WINDOW)
    assert found.keys.tolist() == whole.keys.tolist()
    assert joined(parts, WINDOW).features["city"].tolist() == whole.features["city"].tolist()


def test_a_shard_that_is_missing_or_damaged_is_counted_again(tmp_path):
    shard = Shard(MODEL, WINDOW, Window(START, START + HOUR))
    assert Shard.parse(shard.plain()) == shard
    assert stored_shard(Storage(tmp_path), shard) is None
    folder = shard.folder(Storage(tmp_path))
    assert folder.parent == shards_of(Storage(tmp_path), MODEL, WINDOW)
    folder.mkdir(parents=True)
    assert stored_shard(Storage(tmp_path), shard) == {}
    (folder / "1.npz").write_bytes(b"torn")
    assert stored_shard(Storage(tmp_path), shard) is None
