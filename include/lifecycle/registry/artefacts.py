"""Brings a version's files from MLflow to this machine, whole and verified: `served/<model>/<version>/` and its profile.

The rollout's serving check, the model servers, evaluation (champion) and monitoring (profile) start here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from include.lifecycle.errors import ArtefactDigestError
from include.lifecycle.registry.client import registry_calls
from include.lifecycle.runtime import Runtime
from include.lifecycle.storage import whole_folder
from include.serving.version_folder import MANIFEST, verify, write_manifest

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

SERVING_FOLDER, PROFILE_FOLDER = "serving", "profile"
MANIFEST_TAG, PROFILE_TAG = "manifest_digest", "profile_digest"
FILES_TAG = "files_digest"  # of the manifest over all files of a version, the served ones and the profile included
REMOVED_TAG = "artifacts_removed_at"


def model_version(rt: Runtime, model: str, version: int) -> ModelVersion:
    """The version's entry in MLflow's registry; SourceQueryError when there is none."""
    with registry_calls(rt, f"reading version {version} of {model}") as client:
        return client.get_model_version(model, str(version))


def materialise_version(rt: Runtime, model: str, version: int) -> tuple[Path, str]:
    """Folder `served/<model>/<version>` and its manifest digest; downloaded when it is not there or not what was registered.

    Raises:
        ArtefactDigestError: what MLflow holds is not what was registered, or the version was never completed.
        SourceUnavailableError: MLflow is down and the version is not here yet. A verified folder needs MLflow only for its tag.
    """
    return _materialise(rt, model, version, SERVING_FOLDER, MANIFEST_TAG, rt.storage.served(model, version))


def materialise_profile(rt: Runtime, model: str, version: int) -> Path:
    """Folder with the version's reference profile (monitoring reads it by `read_profile`); verified like the served folder.

    It lies beside the served folders and stays when a version is retired.
    """
    target = rt.storage.served(model, version).parent / "profiles" / str(version)
    return _materialise(rt, model, version, PROFILE_FOLDER, PROFILE_TAG, target)[0]


def fetch_version(rt: Runtime, model: str, version: int, target: Path) -> Path:
    """All files of a version as registered, verified, in `target` (replaced when it exists); returns `target`.

    Raises:
        ArtefactDigestError: a file is missing, added or changed, or the version is older than its whole manifest.
        SourceUnavailableError: MLflow did not answer.
    """
    entry = model_version(rt, model, version)
    digest = entry.tags.get(FILES_TAG)
    if digest is None:
        raise ArtefactDigestError(
            f"version {version} of {model} has no tag {FILES_TAG}: it is unfinished, or older than that tag"
        )
    download(rt, entry, "", target, digest)
    return target


def read_file(rt: Runtime, model: str, version: int, name: str) -> bytes:
    """One file of a version (`record.json`, `evaluation/evaluation.json`), its sha256 checked against the sealed manifest.

    Works for versions whose model files retention removed. Raises like `fetch_version`.
    """
    entry = model_version(rt, model, version)
    where = f"version {version} of {model}"
    digest = entry.tags.get(FILES_TAG)
    if digest is None:
        raise ArtefactDigestError(f"{where} has no tag {FILES_TAG}: it is unfinished, or older than that tag")
    with TemporaryDirectory(prefix="modelops-file-") as temporary:
        manifest = _fetch(rt, entry, MANIFEST, Path(temporary))
        if (got := hashlib.sha256(manifest).hexdigest()) != digest:
            raise ArtefactDigestError(f"{where}: {MANIFEST} has sha256 {got}; its tag {FILES_TAG} says {digest}")
        listed = json.loads(manifest)["files"]
        if name not in listed:
            raise ArtefactDigestError(f"{where} has no file {name}; it has {', '.join(sorted(listed))}")
        content = _fetch(rt, entry, name, Path(temporary))
    if (got := hashlib.sha256(content).hexdigest()) != listed[name]:
        raise ArtefactDigestError(f"{where}: {name} has sha256 {got}; {MANIFEST} says {listed[name]}")
    return content


def _fetch(rt: Runtime, entry: ModelVersion, name: str, folder: Path) -> bytes:
    from mlflow.artifacts import download_artifacts

    with registry_calls(rt, f"fetching {name} of {entry.name} version {entry.version}") as client:
        location = client.get_logged_model(str(entry.source).removeprefix("models:/")).artifact_location
        fetched = download_artifacts(f"{location}/{name}", dst_path=str(folder), tracking_uri=rt.settings.mlflow_url)
    return Path(fetched).read_bytes()


def _materialise(rt: Runtime, model: str, version: int, part: str, tag: str, target: Path) -> tuple[Path, str]:
    entry = model_version(rt, model, version)
    digest = entry.tags.get(tag)
    if digest is None:
        raise ArtefactDigestError(f"version {version} of {model} has no tag {tag}: its registration did not finish, run it again")
    if not _is_good(target, digest):
        download(rt, entry, part, target, digest)
    return target, digest


def _is_good(folder: Path, digest: str) -> bool:
    """Whether the folder is there and holds exactly what was registered; a damaged one is fetched again."""
    try:
        verify(folder, digest)
    except ArtefactDigestError:
        return False
    return True


def download(rt: Runtime, entry: ModelVersion, part: str, target: Path, digest: str) -> None:
    """Fetch one folder of a version's artefacts (empty `part`: all) into `target`, verified before it takes that name."""
    from mlflow.artifacts import download_artifacts

    if removed := entry.tags.get(REMOVED_TAG):
        raise ArtefactDigestError(f"version {entry.version} of {entry.name}: retention removed its model files at {removed}")
    target.parent.mkdir(parents=True, exist_ok=True)
    what = f"fetching {part} of {entry.name} version {entry.version}"
    with TemporaryDirectory(dir=target.parent, prefix=".download-") as temporary, whole_folder(target) as folder:
        with registry_calls(rt, what) as client:
            # MLflow takes no folder behind `models:/m-<id>`, so the place itself is asked for.
            location = client.get_logged_model(str(entry.source).removeprefix("models:/")).artifact_location
            fetched = download_artifacts(
                f"{location}/{part}".rstrip("/"), dst_path=temporary, tracking_uri=rt.settings.mlflow_url
            )
        shutil.copytree(fetched, folder, dirs_exist_ok=True)
        verify(folder, digest)


def seal(folder: Path) -> str:
    """Write the folder's manifest and return the manifest's sha256, which the version's tag carries."""
    return write_manifest(folder)
