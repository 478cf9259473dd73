"""Storage: names become safe path segments; files and folders appear whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.storage import Storage, segment, sha256_of, whole_folder, write_whole


@given(st.text(max_size=40))
def test_any_text_becomes_one_segment_that_stays_inside(text):
    made = segment(text)
    assert made
    assert Path(made).name == made
    assert made not in (".", "..")


def test_folders(tmp_path):
    storage = Storage(tmp_path)
    run = storage.stage("churn", "manual__2013-08-01T00:00:00+00:00", "fetch_data")
    assert run == tmp_path / "artifacts" / "churn" / "manual__2013-08-01T00_00_00_00_00" / "fetch_data"
    assert storage.served("churn", 3) == tmp_path / "served" / "churn" / "3"
    folders = {storage.predictions("a"), storage.snapshots("a"), storage.reports("a"), storage.snapshot_remote}
    assert len(folders) == 4


def test_whole_folder_replaces_when_it_succeeds(tmp_path):
    target = tmp_path / "out"
    for text in ("first", "second"):
        with whole_folder(target) as folder:
            (folder / f"{text}.txt").write_text(text)
    assert [path.name for path in target.iterdir()] == ["second.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_whole_folder_leaves_the_old_one_when_it_fails(tmp_path):
    target = tmp_path / "out"
    with whole_folder(target) as folder:
        (folder / "kept.txt").write_text("kept")
    with pytest.raises(RuntimeError), whole_folder(target) as folder:
        (folder / "half.txt").write_text("half")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["kept.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_write_whole_and_digest(tmp_path):
    file = tmp_path / "deep" / "file.txt"
    write_whole(file, "text")
    write_whole(file, b"bytes")
    assert file.read_bytes() == b"bytes"
    assert sha256_of(file) == hashlib.sha256(b"bytes").hexdigest()
    assert [path.name for path in file.parent.iterdir()] == ["file.txt"]


def test_write_whole_leaves_nothing_behind_when_it_cannot(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
