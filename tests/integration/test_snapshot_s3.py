"""Snapshots on S3: stored once, brought back byte for byte, no key in DVC's configuration, and a remote that is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest

from include.lifecycle.clock import FixedClock
from include.lifecycle.data.snapshot import restore_snapshot, snapshot_data
from include.lifecycle.errors import ArtefactDigestError, SourceUnavailableError
from include.lifecycle.results import FetchedData
from include.lifecycle.runtime import RunContext, Runtime, build_runtime
from include.settings import load_settings
from tests.conftest import NOW, free_port
from tests.integration.s3_server import BUCKET, KEY, SECRET, S3Server, s3_server
from tests.unit.lifecycle.training.spec_for_tests import make_spec

pytestmark = pytest.mark.integration
RUN = RunContext("trips", "r1", "snapshot_data")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


def runtime(tmp_path: Path, s3: S3Server, **more: str) -> Runtime:
    remote = {"MODELOPS_LOCAL": str(tmp_path), "MODELOPS_SNAPSHOT_REMOTE": f"s3://{BUCKET}/{tmp_path.name}"}
    return build_runtime(load_settings(s3.environment | remote | more), FixedClock(NOW))


def fetched(tmp_path: Path, content: bytes) -> FetchedData:
    path = tmp_path / "data.parquet"
    path.write_bytes(content)
    return FetchedData(path=path, rows=1, rows_in_window=1, columns=[], seconds=0, source="query q", excluded_windows=[7])


def test_stored_once_and_restored_byte_for_byte(tmp_path: Path, s3: S3Server):
    rt, content = runtime(tmp_path, s3), b"x" * 70_000
    first = snapshot_data(make_spec(), rt, RUN, fetched(tmp_path, content))
    stored = s3.objects()
    assert [key for key in stored if first.snapshot_id[2:] in key]
    assert (first.snapshot_id, first.excluded_windows, first.source) == (md5(content).hexdigest(), [7], "query q")
    time.sleep(1.1)  # S3 tells moments in seconds: a second upload would show
    again = snapshot_data(make_spec(), rt, RUN, fetched(tmp_path, content))
    shared = snapshot_data(make_spec(name="other_trips"), rt, RUN, fetched(tmp_path, content))
    assert first == again == shared
    assert s3.objects() == stored
    back = restore_snapshot(rt, "trips", first.pointer, tmp_path / "back" / "data.parquet")
    assert back.read_bytes() == content
    assert not list(rt.settings.storage.rglob("training.parquet"))


def test_no_key_is_written_anywhere(tmp_path: Path, s3: S3Server, caplog: pytest.LogCaptureFixture):
    rt = runtime(tmp_path, s3)
    with caplog.at_level(0):
        snapshot_data(make_spec(), rt, RUN, fetched(tmp_path, b"secret?" * 9000))
    texts = [path.read_bytes() for path in rt.settings.storage.rglob("*") if path.is_file() and path.stat().st_size < 50_000]
    config = (rt.storage.snapshots("trips") / ".dvc" / "config").read_text()
    assert "profile = modelops" in config
    assert not [text for text in [*texts, config.encode()] if SECRET.encode() in text or KEY.encode() in text]
    assert SECRET not in caplog.text


def test_what_the_bucket_lost_is_named(tmp_path: Path, s3: S3Server):
    rt = runtime(tmp_path, s3)
    snapshot = snapshot_data(make_spec(), rt, RUN, fetched(tmp_path, b"z" * 60_000))
    for key in [key for key in s3.objects() if snapshot.snapshot_id[2:] in key]:
        s3.client.delete_object(Bucket=BUCKET, Key=key)
    with pytest.raises(ArtefactDigestError, match=snapshot.snapshot_id):
        restore_snapshot(rt, "trips", snapshot.pointer, tmp_path / "back.parquet")
    assert not (tmp_path / "back.parquet").exists()


def test_a_remote_that_is_away_is_found_quickly_and_may_be_tried_again(tmp_path: Path, s3: S3Server):
    rt = runtime(tmp_path, s3, MODELOPS_S3_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(SourceUnavailableError, match="S3 does not answer") as caught:
        snapshot_data(make_spec(), rt, RUN, fetched(tmp_path, b"y"))
    assert caught.value.retryable
    assert time.monotonic() - started < 15, "it tried again and again"


def test_a_repository_follows_its_remote(tmp_path: Path, s3: S3Server):
    local = build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}), FixedClock(NOW))
    content = b"w" * 60_000
    snapshot = snapshot_data(make_spec(), local, RUN, fetched(tmp_path, content))
    moved = runtime(tmp_path, s3)
    assert snapshot_data(make_spec(), moved, RUN, fetched(tmp_path, content)) == snapshot
    assert restore_snapshot(moved, "trips", snapshot.pointer, tmp_path / "s3.parquet").read_bytes() == content
    assert restore_snapshot(local, "trips", snapshot.pointer, tmp_path / "local.parquet").read_bytes() == content
