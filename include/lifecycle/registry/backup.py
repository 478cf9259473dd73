"""A backup that needs no server to be read: all versions' files and tags, the ledger, snapshot pointers, and the configuration.

Plain files below one folder, sealed by a manifest. The command `backup` makes, checks and restores it; docs/registry.md says what
is in it and what is not.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import ArtefactDigestError, LifecycleError
from include.lifecycle.registry.artefacts import FILES_TAG, MANIFEST_TAG, REMOVED_TAG, fetch_version
from include.lifecycle.registry.client import aliases_of, registry_calls, versions_of
from include.lifecycle.registry.entries import git_revision
from include.lifecycle.runtime import Runtime
from include.lifecycle.storage import segment, whole_folder, write_whole
from include.serving.version_folder import MANIFEST, verify, write_manifest

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

ABOUT, REGISTRY, LEDGER = "backup.json", "registry.json", "ledger.jsonl"
_CONFIGURATION = ("include/models", "include/sql", "include/features", "dags", "requirements.txt", "requirements.lock")
_ALL_ROWS = 10_000_000


def make_backup(rt: Runtime, folder: Path, *, with_data: bool = False) -> dict[str, Any]:
    """Write or refresh the backup in `folder`; versions that lie there whole are not fetched again.

    `with_data` adds the snapshots' contents (else only their pointers, which need the snapshot remote). Returns what was written:
    `models` {name: versions}, `left_out` {name/version: why}, `digest` (sha256 of the manifest: keep it elsewhere).

    Raises:
        LifecycleError: the folder holds something else than a backup.
        SourceUnavailableError: MLflow or the database did not answer; run it again, it goes on.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / ABOUT).is_file():
        raise LifecycleError(f"{folder} is not empty and holds no backup ({ABOUT}); name an empty folder or an earlier backup")
    names = _registered(rt)
    about = {"made_at": rt.clock.now().isoformat(), "git_revision": git_revision(rt.settings.home), "models": names}
    write_whole(folder / ABOUT, json.dumps(about, indent=1) + "\n")
    (folder / MANIFEST).unlink(missing_ok=True)  # from here to the end it is no valid backup
    _copy_configuration(rt.settings.home, folder / "config")
    left_out: dict[str, str] = {}
    for name in names:
        left_out |= _back_up_model(rt, name, folder / "models" / name, with_data=with_data)
    digest = write_manifest(folder)
    return {"models": {name: _numbers(folder, name) for name in names}, "left_out": left_out, "digest": digest}


def check_backup(folder: Path, digest: str | None = None) -> dict[str, list[int]]:
    """Versions by model of a whole backup: every file is there with its sha256, each version as its tag says.

    Raises ArtefactDigestError naming the first file that differs; `digest` (as printed by `--to`) detects a forged manifest.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise ArtefactDigestError(f"{folder} holds no {MANIFEST}: no backup, or one that was not finished")
    verify(folder, digest or hashlib.sha256(manifest.read_bytes()).hexdigest())
    found = {}
    for name in json.loads((folder / ABOUT).read_text(encoding="utf-8"))["models"]:
        if name != segment(name):
            raise ArtefactDigestError(f"{folder}: got model {name!r}, which is no model's name")
        for entry in _stored_entries(folder, name):
            place = folder / "models" / name / "versions" / str(entry["version"])
            if place.is_dir():
                verify(place, entry["tags"][FILES_TAG])
        found[name] = _numbers(folder, name)
    return found


def restore_backup(folder: Path, into: Path, digest: str | None = None) -> dict[str, list[int]]:
    """Copy a checked backup into the empty folder `into`, with each version's served folder as model servers take it.

    Layout: `served/<model>/<version>`, `models/<model>/...`, `config/...`. Everything is verified before and after the copy.

    Raises LifecycleError when `into` is not empty, ArtefactDigestError as `check_backup`.
    """
    if into.exists() and any(into.iterdir()):
        raise LifecycleError(f"{into} is not empty; a restore overwrites nothing")
    check_backup(folder, digest)
    into.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(into) as fresh:
        shutil.copytree(folder, fresh, dirs_exist_ok=True)
        found = check_backup(fresh, digest)
        for name in found:
            for entry in _stored_entries(fresh, name):
                _lay_out_served(fresh, name, entry)
    return found


def _lay_out_served(root: Path, name: str, entry: dict[str, Any]) -> None:
    serving = root / "models" / name / "versions" / str(entry["version"]) / "serving"
    if serving.is_dir():
        target = root / "served" / name / str(entry["version"])
        shutil.copytree(serving, target)
        verify(target, entry["tags"][MANIFEST_TAG])


def _registered(rt: Runtime) -> list[str]:
    """Names of all registered models, also of those whose YAML is gone."""
    with registry_calls(rt, "listing the registered models") as client:
        names, token = [], None
        while True:
            page = client.search_registered_models(max_results=500, page_token=token)
            names += [str(model.name) for model in page]
            token = page.token
            if not token:
                return sorted(names)


def _copy_configuration(home: Path, target: Path) -> None:
    with whole_folder(target) as fresh:
        for part in _CONFIGURATION:
            source = home / part
            if source.is_dir():
                shutil.copytree(source, fresh / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            elif source.is_file():
                (fresh / part).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, fresh / part)


def _back_up_model(rt: Runtime, name: str, folder: Path, *, with_data: bool) -> dict[str, str]:
    """One model's part; returns {name/version: why its files are not in}."""
    left_out = {}
    entries = versions_of(rt, name)
    told = {"model": name, "aliases": aliases_of(rt, name), "versions": [_plain(entry) for entry in entries]}
    write_whole(folder / REGISTRY, json.dumps(told, indent=1, sort_keys=True) + "\n")
    rows = rt.ledger.read(name, limit=_ALL_ROWS)[::-1]
    write_whole(folder / LEDGER, "".join(json.dumps(dict(row), default=_text) + "\n" for row in rows))
    for entry in entries:
        target = folder / "versions" / str(entry.version)
        why = _missing(dict(entry.tags))
        if why is not None:
            left_out[f"{name}/{entry.version}"] = why
            continue
        if not _whole(target, entry.tags[FILES_TAG]):
            fetch_version(rt, name, int(entry.version), target)
        if with_data:
            _fetch_snapshot(rt, name, target, folder / "snapshots")
    return left_out


def _missing(tags: dict[str, str]) -> str | None:
    if MANIFEST_TAG not in tags or FILES_TAG not in tags:
        return "its registration is unfinished, or older than sealed versions; its tags are in"
    if REMOVED_TAG in tags:
        return f"retention removed its model files at {tags[REMOVED_TAG]}; its tags are in"
    return None


def _whole(folder: Path, digest: str) -> bool:
    try:
        verify(folder, digest)
    except ArtefactDigestError:
        return False
    return True


def _fetch_snapshot(rt: Runtime, name: str, version: Path, folder: Path) -> None:
    from include.lifecycle.data.snapshot import read_pointer, restore_snapshot

    pointer = (version / "snapshot.dvc").read_text(encoding="utf-8")
    target = folder / f"{read_pointer(pointer)[0]}.parquet"
    if not target.is_file():  # written whole under its content's hash, once for all versions that learnt from it
        restore_snapshot(rt, name, pointer, target)


def _plain(entry: ModelVersion) -> dict[str, Any]:
    told = {"version": int(entry.version), "run_id": entry.run_id, "source": entry.source, "description": entry.description}
    return told | {"created": entry.creation_timestamp, "tags": dict(entry.tags)}


def _stored_entries(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    for entry in json.loads((folder / "models" / name / REGISTRY).read_text(encoding="utf-8"))["versions"]:
        if type(entry["version"]) is not int:  # it becomes a path
            raise ArtefactDigestError(f"{folder}: model {name} has a version {entry['version']!r}, which is no number")
        yield entry


def _numbers(folder: Path, name: str) -> list[int]:
    """Versions whose files are in, by number."""
    place = folder / "models" / name / "versions"
    return sorted(int(one.name) for one in place.iterdir()) if place.is_dir() else []


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise LifecycleError(f"the ledger holds a value of type {type(value).__name__}, which is no JSON")
