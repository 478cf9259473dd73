"""The way back from a version to the exact data that it learnt from: pointer from MLflow, content from the snapshot remote.

The command `restore` comes here; registration stored the pointer with the version and the content hash as its tag.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from include.lifecycle.data.snapshot import read_pointer, restore_snapshot
from include.lifecycle.errors import ArtefactDigestError, SourceQueryError
from include.lifecycle.registry.artefacts import model_version
from include.lifecycle.registry.client import registry_calls, versions_of
from include.lifecycle.registry.version_files import SNAPSHOT_POINTER
from include.lifecycle.runtime import Runtime

SNAPSHOT_TAG = "snapshot_id"


def restore_training_data(rt: Runtime, model: str, version: int, destination: Path) -> tuple[str, int]:
    """Write the file that `version` was trained from to `destination`; its content hash (md5, hex) and size in bytes.

    Raises:
        SourceQueryError: there is no such version.
        ArtefactDigestError: pointer and tag disagree, or the snapshot is missing or damaged in the remote; nothing is written.
        SourceUnavailableError: MLflow did not answer.
    """
    registered = [int(entry.version) for entry in versions_of(rt, model)]
    if version not in registered:
        known = f"there are {', '.join(map(str, registered))}" if registered else "the model has no versions"
        raise SourceQueryError(f"MLflow at {rt.settings.mlflow_url} has no version {version} of {model}; {known}")
    pointer = snapshot_pointer(rt, model, version)
    identity, size = read_pointer(pointer)
    restore_snapshot(rt, model, pointer, destination)
    return identity, size


def snapshot_pointer(rt: Runtime, model: str, version: int) -> str:
    """The `.dvc` text that lies with a version; ArtefactDigestError when it is not of the snapshot that its tag names."""
    from mlflow.artifacts import download_artifacts

    entry = model_version(rt, model, version)
    with TemporaryDirectory(prefix="modelops-pointer-") as temporary:
        with registry_calls(rt, f"fetching {SNAPSHOT_POINTER} of version {version} of {model}") as client:
            location = client.get_logged_model(str(entry.source).removeprefix("models:/")).artifact_location
            uri = f"{location}/{SNAPSHOT_POINTER}"
            fetched = download_artifacts(uri, dst_path=temporary, tracking_uri=rt.settings.mlflow_url)
        pointer = Path(fetched).read_text(encoding="utf-8")
    identity, tagged = read_pointer(pointer)[0], entry.tags.get(SNAPSHOT_TAG)
    if identity != tagged:
        raise ArtefactDigestError(f"version {version} of {model}: its tag names snapshot {tagged}, its pointer {identity}")
    return pointer
