"""Compaction with merging, retention and shipping, killed at each of its effects in turn: nothing is lost, nothing is doubled."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from include.lifecycle.clock import FixedClock
from include.lifecycle.ledger import Ledger
from include.lifecycle.loading import load_model
from include.lifecycle.monitoring import log_folder, log_merging
from include.lifecycle.monitoring.compaction import compact_predictions
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.serving.log_manifest import MANIFEST, Removal, load_manifest
from include.serving.log_schema import predictions_relation
from tests.unit.serving.test_log_schema import START, line, segment

NOW = START + timedelta(days=2)
OLD = (START - timedelta(days=600)).isoformat()


class KilledError(BaseException):
    """Ends the run as SIGKILL would: every later effect fails too."""


class Killer:
    """Dies before the effect number `at`, which is after the one before it."""

    def __init__(self, at: int) -> None:
        self.at, self.seen, self.dead, self.names = at, 0, False, list[str]()

    def wrap(self, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        def maybe(*arguments: Any, **named: Any) -> Any:
            if self.dead:
                raise KilledError(name)
            self.seen += 1
            self.names.append(name)
            self.dead = self.seen == self.at
            if self.dead:
                raise KilledError(name)
            return effect(*arguments, **named)

        return maybe


EFFECTS = [(Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "write_bytes"), (Ledger, "write")]
FOLDER_EFFECTS = [(log_folder.LogFolder, name) for name in ("publish", "_upload", "delete")]


@contextmanager
def killed(killer: Killer) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for holder, name in (*EFFECTS, *FOLDER_EFFECTS):
            patch.setattr(holder, name, killer.wrap(name, getattr(holder, name)))
        with suppress(KilledError):
            yield


@pytest.fixture
def spec() -> ModelSpec:
    spec = load_model("flight_delay")
    return spec.model_copy(update={"prediction_log": spec.prediction_log.model_copy(update={"destination": "s3://bucket/logs"})})


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of S3, behind the same file system interface."""
    root = tmp_path / "remote"
    (root / "bucket" / "logs" / "flight_delay" / "parquet").mkdir(parents=True)
    remote = SubTreeFileSystem(str(root), LocalFileSystem())
    monkeypatch.setattr(log_folder, "remote_of", lambda _settings: lambda: remote)
    monkeypatch.setattr(log_merging, "FEWEST", 2)
    return root


def lay_out(rt: Runtime, spec: ModelSpec, folder: Path) -> list[str]:
    """A log with shipped files that are worth merging, one that is too old, removals that wait, and closed segments."""
    long_ago, local = START - timedelta(days=500), load_model(spec.name)
    segment(folder, "3-1-8.jsonl", line(8, event_time=OLD))
    compact_predictions(rt, local, now=long_ago)
    for number in range(2):
        segment(folder, f"3-1-{number}.jsonl", line(number))
        compact_predictions(rt, local, now=long_ago)
    segment(folder, "3-1-9.jsonl.open", line(9), line(9, row=1), line(10)[:50])
    return ["r0", "r1", "r9", "r9"]


def laid_out_again(template: Path, folder: Path, number: int) -> None:
    """Copy a log; its files get names of their own, by which the ledger knows what it told already."""
    shutil.copytree(template, folder)
    for path in (folder / "parquet").glob("*.parquet"):
        name = f"{number}-{path.name}"
        path.rename(path.with_name(name))
        manifest = folder / MANIFEST
        manifest.write_text(manifest.read_text().replace(path.name, name))


def read(folder: Path, remote: Any) -> list[str]:
    with duckdb.connect() as connection:
        predictions_relation(connection, folder, ["distance"], ["carrier"], remote=remote, since=START).create_view("log")
        return [row[0] for row in connection.sql("SELECT request_id FROM log ORDER BY 1").fetchall()]


def stored(folder: Path, bucket: Path) -> list[str]:
    """Requests of all files that readers see, as they are stored: a doubled row would show."""
    found: list[str] = []
    manifest = load_manifest(folder)
    for file in manifest.files:
        base = folder if file.location is None else bucket / file.location.removeprefix("s3://")
        found += [row[0] for row in duckdb.read_parquet(str(base / "parquet" / file.name)).project("request_id").fetchall()]
    contained = {name for file in manifest.files for name in file.segments}
    left = [path for path in (folder / "segments").glob("*.jsonl*") if path.name.removesuffix(".open") not in contained]
    return found + [text.split('"')[3] for path in left for text in path.read_text().splitlines() if text.endswith("}")]


def test_a_kill_at_any_effect_loses_and_doubles_nothing(
    make_runtime: Callable[..., Runtime], spec: ModelSpec, bucket: Path
) -> None:
    at, names = 0, list[str]()
    first = make_runtime(FixedClock(NOW), MODELOPS_STORAGE=str(bucket.parent / "template"))
    template = first.storage.predictions(spec.name)
    wanted = lay_out(first, spec, template)
    while True:
        at += 1
        rt = make_runtime(FixedClock(NOW), MODELOPS_STORAGE=str(bucket.parent / f"{at}"))
        folder = rt.storage.predictions(spec.name)
        laid_out_again(template, folder, at)
        killer = Killer(at)
        with killed(killer):
            compact_predictions(rt, spec, now=NOW)
            compact_predictions(rt, spec, now=NOW)  # removes what the first left to readers
        assert read(folder, log_folder.remote_of(rt.settings)) == wanted
        assert sorted(name for name in stored(folder, bucket) if name != "r8") == wanted
        for _ in range(3):
            compact_predictions(rt, spec, now=NOW)
        assert stored(folder, bucket).count("r8") == 0
        assert sorted(stored(folder, bucket)) == wanted
        manifest = load_manifest(folder)
        assert manifest.removing == []
        assert [file.location for file in manifest.files] == ["s3://bucket/logs/flight_delay"]
        assert list((folder / "segments").iterdir()) == []
        assert [path.name for path in (folder / "parquet").iterdir() if path.is_file()] == []
        remote = bucket / "bucket" / "logs" / "flight_delay"
        assert {path.name for path in (remote / "parquet").iterdir()} == {file.name for file in manifest.files}
        for path in remote.rglob("*.*"):
            path.unlink()
        if not killer.dead:
            break
        names.append(killer.names[-1])
    print(f"{at - 1} kills: {names}")
    assert at > 30
    assert {"publish", "_upload", "delete", "replace", "rename", "unlink", "write"} <= set(names)


def test_the_ledger_tells_once_what_retention_took(make_runtime: Callable[..., Runtime], spec: ModelSpec, bucket: Path) -> None:
    for at in range(1, 40):
        rt = make_runtime(FixedClock(NOW), MODELOPS_STORAGE=str(bucket.parent / f"{at}"))
        folder = rt.storage.predictions(spec.name)
        segment(folder, "3-1-8.jsonl", line(8, event_time=OLD))
        compact_predictions(rt, spec, now=NOW)
        assert [one.why for one in load_manifest(folder).removing] == ["expired"]
        before = len(rt.ledger.read(spec.name, kind="retention"))
        killer = Killer(at)
        with killed(killer):
            compact_predictions(rt, spec, now=NOW)
        compact_predictions(rt, spec, now=NOW)
        entries = rt.ledger.read(spec.name, kind="retention")
        assert [entry["phase"] for entry in entries[: len(entries) - before]] == ["done", "intended"]
        assert entries[0]["evidence"]["rows"] == 1
        if not killer.dead:
            return
    raise AssertionError("it never came to its end")


def test_a_lost_disk_begins_from_the_copy_on_s3(make_runtime: Callable[..., Runtime], spec: ModelSpec, bucket: Path) -> None:
    first = make_runtime(FixedClock(NOW), MODELOPS_STORAGE=str(bucket.parent / "first"))
    wanted = lay_out(first, spec, first.storage.predictions(spec.name))
    compact_predictions(first, spec, now=NOW)
    second = make_runtime(FixedClock(NOW), MODELOPS_STORAGE=str(bucket.parent / "second"))
    folder = second.storage.predictions(spec.name)
    compact_predictions(second, spec, now=NOW)
    assert read(folder, log_folder.remote_of(second.settings)) == wanted


def test_a_merge_is_read_as_its_parts_were(make_runtime: Callable[..., Runtime], spec: ModelSpec, bucket: Path) -> None:
    rt = make_runtime(FixedClock(NOW))
    plain, folder = load_model(spec.name), rt.storage.predictions(spec.name)
    for number in range(4):
        segment(folder, f"3-1-{number}.jsonl", line(number), line(number + 10, event_time="2013-09-02T00:00:00+00:00"))
        segment(folder, f"4-1-{number}.jsonl", line(number + 20, model_version=4, features={"distance": 1, "other": "x"}))
        compact_predictions(rt, plain, now=NOW)
    wanted = sorted(f"r{10 * tens + number}" for number in range(4) for tens in range(3))
    with duckdb.connect() as connection:
        predictions_relation(connection, folder, ["distance"], ["carrier"]).create_view("log")
        assert sorted(row[0] for row in connection.sql("SELECT request_id FROM log").fetchall()) == wanted
    assert len(load_manifest(folder).files) < 4
    assert {one.why for one in load_manifest(folder).removing} == {"merged"}
    assert all(isinstance(one, Removal) for one in load_manifest(folder).removing)
