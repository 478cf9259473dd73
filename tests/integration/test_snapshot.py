"""snapshot_data with a real DVC repository: one copy per content, the same id again, and the way back."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path

import pytest

from include.lifecycle.clock import FixedClock
from include.lifecycle.data.snapshot import restore_snapshot, snapshot_data
from include.lifecycle.errors import ArtefactDigestError, SourceUnavailableError
from include.lifecycle.results import FetchedData
from include.lifecycle.runtime import RunContext, Runtime, build_runtime
from include.settings import load_settings
from tests.conftest import NOW
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
RUN = RunContext("trips", "r1", "snapshot_data")


@pytest.fixture
def local(tmp_path: Path) -> Runtime:
    return build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}), FixedClock(NOW))


def fetched(tmp_path: Path, content: bytes) -> FetchedData:
    path = tmp_path / "data.parquet"
    path.write_bytes(content)
    return FetchedData(path=path, rows=1, rows_in_window=1, columns=[], seconds=0)


def stored(rt: Runtime) -> list[Path]:
    return [path for path in rt.storage.root.rglob("*") if path.is_file() and path.stat().st_size >= 50_000]


def test_each_content_is_stored_once_and_comes_back(local: Runtime, tmp_path: Path):
    one, two = b"1" * 50_000, b"2" * 50_000
    first = snapshot_data(make_spec(), local, RUN, fetched(tmp_path, one))
    again = snapshot_data(make_spec(), local, RUN, fetched(tmp_path, one))
    second = snapshot_data(make_spec(name="other_trips"), local, RUN, fetched(tmp_path, two))
    shared = snapshot_data(make_spec(name="other_trips"), local, RUN, fetched(tmp_path, one))
    assert first == again == shared
    assert first.snapshot_id == md5(one).hexdigest()
    assert first.bytes == 50_000
    assert sorted(path.parent.name + path.name for path in stored(local)) == sorted([first.snapshot_id, second.snapshot_id])
    destination = restore_snapshot(local, "trips", first.pointer, tmp_path / "back" / "data.parquet")
    assert destination.read_bytes() == one
    destination.write_bytes(b"may be changed, the snapshot may not")
    assert restore_snapshot(local, "trips", first.pointer, tmp_path / "again.parquet").read_bytes() == one


def test_a_half_made_repository_is_made_again(local: Runtime, tmp_path: Path):
    (local.storage.snapshots("trips") / ".dvc").mkdir(parents=True)
    assert snapshot_data(make_spec(), local, RUN, fetched(tmp_path, b"x" * 10)).bytes == 10


def test_what_the_remote_lost_is_named(local: Runtime, tmp_path: Path):
    snapshot = snapshot_data(make_spec(), local, RUN, fetched(tmp_path, b"x" * 50_000))
    stored(local)[0].unlink()
    with pytest.raises(ArtefactDigestError, match=snapshot.snapshot_id):
        restore_snapshot(local, "trips", snapshot.pointer, tmp_path / "back.parquet")
    assert not (tmp_path / "back.parquet").exists()
    with pytest.raises(ArtefactDigestError, match="not the pointer of a DVC snapshot"):
        restore_snapshot(local, "trips", "hello", tmp_path / "back.parquet")


def test_a_changed_copy_in_the_remote_is_refused(local: Runtime, tmp_path: Path):
    snapshot = snapshot_data(make_spec(), local, RUN, fetched(tmp_path, b"x" * 50_000))
    kept = stored(local)[0]
    kept.chmod(0o644)
    kept.write_bytes(b"y" * 50_000)
    with pytest.raises(ArtefactDigestError, match=snapshot.snapshot_id):
        restore_snapshot(local, "trips", snapshot.pointer, tmp_path / "back.parquet")
    snapshot_data(make_spec(name="other_trips"), local, RUN, fetched(tmp_path, b"x" * 50_000))  # DVC cleared it away
    kept.chmod(0o644)
    kept.write_bytes(b"z" * 50_000)
    kept.chmod(0o444)  # read-only files of its remote DVC trusts unseen
    with pytest.raises(ArtefactDigestError, match="damaged in the remote"):
        restore_snapshot(local, "trips", snapshot.pointer, tmp_path / "back.parquet")
    assert not (tmp_path / "back.parquet").exists()


def test_a_fetched_file_that_is_gone(local: Runtime, tmp_path: Path):
    data = fetched(tmp_path, b"x")
    data.path.unlink()
    with pytest.raises(SourceUnavailableError, match="run fetch_data again"):
        snapshot_data(make_spec(), local, RUN, data)
