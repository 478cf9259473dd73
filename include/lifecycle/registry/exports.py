"""What a version offers for download: `exports/exports.json` (each format's file and sha256, or why there is none), extra files.

Registration writes it into the version; the command `export` hands a file out, its digest checked, named after its source.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import ArtefactDigestError, LifecycleError
from include.lifecycle.registry.artefacts import FILES_TAG, MANIFEST_TAG, fetch_version, model_version
from include.lifecycle.registry.quantise import quantise
from include.lifecycle.registry.semver import SEMVER_TAG
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import sha256_of, write_whole
from include.serving.version_folder import GOLDEN, MODEL_FILES, ServingSpec

if TYPE_CHECKING:
    import pandas as pd

EXPORTS_FOLDER, EXPORTS = "exports", "exports.json"
ONNX, SKOPS, QUANTISED, BUNDLE = "onnx", "skops", "quantised-onnx", "bundle"
FORMATS = (ONNX, SKOPS, QUANTISED, BUNDLE)
_SUFFIX = {ONNX: ".onnx", SKOPS: ".skops", QUANTISED: ".int8.onnx", BUNDLE: ".zip"}
_QUANTISED_FILE = f"{EXPORTS_FOLDER}/model.int8.onnx"
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of the zip format; a bundle's bytes depend on its content only


@dataclass(frozen=True)
class Exported:
    """A file that was handed out: where it lies, its sha256, and the version that it came from."""

    path: Path
    digest: str
    source: dict[str, str]


def write_exports(
    root: Path, spec: ModelSpec, serving: ServingSpec, tags: Mapping[str, str], holdout: pd.DataFrame
) -> dict[str, str]:
    """Write `root/exports` of a version whose other files stand in `root`; returns each format's file, or why there is none."""
    formats: dict[str, dict[str, Any]] = {SKOPS: _offered(root, MODEL_FILES["sklearn"])}
    served = f"serving/{MODEL_FILES['onnx']}"
    if serving.engine == "onnx":
        formats[ONNX] = _offered(root, served)
        formats[QUANTISED] = _quantised(root, spec, serving, root / served, holdout)
    else:
        why = f"it has no ONNX form: {tags.get('engine_reason', 'it was not converted')}"
        formats[ONNX] = formats[QUANTISED] = {"refused": why}
    told = {
        "source": {"model": spec.name, "version": str(serving.version), "semver": tags.get(SEMVER_TAG, "")},
        "sample": f"serving/{GOLDEN}",  # requests with their answers, for tracing and for checking a port
        "formats": formats,
    }
    write_whole(root / EXPORTS_FOLDER / EXPORTS, json.dumps(told, indent=1, sort_keys=True) + "\n")
    return {name: str(formats[name].get("file") or formats[name]["refused"]) for name in sorted(formats)}


def export_version(rt: Runtime, model: str, version: int, wanted: str, out: Path) -> Exported:
    """Download one format of a version to `out` (a folder: under the export's own name) beside `<file>.source.json`.

    Raises:
        LifecycleError: the version does not offer the format, or `out` exists already; nothing is written.
        ArtefactDigestError: a file of the version is not the one that was registered.
        SourceUnavailableError: MLflow did not answer.
    """
    entry = model_version(rt, model, version)
    source = _source(model, version, dict(entry.tags))
    target = out / export_name(source, wanted) if out.is_dir() else out
    if target.exists():
        raise LifecycleError(f"{target} exists already, and nothing is overwritten; name another place by --out")
    with TemporaryDirectory(prefix="modelops-export-") as name:
        root = fetch_version(rt, model, version, Path(name) / "version")
        if wanted == BUNDLE:
            content = Path(name) / "bundle.zip"
            _bundle(root, content)
        else:
            content = _chosen(root, wanted, f"version {version} of {model}")
        digest = sha256_of(content)
        write_whole(target, content.read_bytes())
    if sha256_of(target) != digest:
        raise ArtefactDigestError(f"{target} was not written as it was read: expected sha256 {digest}")
    told = source | {"format": wanted, "sha256": digest}
    write_whole(target.with_name(f"{target.name}.source.json"), json.dumps(told, indent=1) + "\n")
    return Exported(target, digest, told)


def export_name(source: Mapping[str, str], wanted: str) -> str:
    """File name that tells model, version, semantic version and the start of the version's digest."""
    return f"{source['model']}-v{source['version']}-{source['semver']}-{source['manifest_digest'][:12]}{_SUFFIX[wanted]}"


def _source(model: str, version: int, tags: dict[str, str]) -> dict[str, str]:
    digests = {"manifest_digest": tags.get(MANIFEST_TAG, ""), "files_digest": tags.get(FILES_TAG, "")}
    return {"model": model, "version": str(version), "semver": tags.get(SEMVER_TAG, "0.0.0"), **digests}


def _chosen(root: Path, wanted: str, where: str) -> Path:
    """The format's file, checked against what `exports.json` says of it."""
    formats = json.loads((root / EXPORTS_FOLDER / EXPORTS).read_text(encoding="utf-8"))["formats"]
    found = formats[wanted]
    if "refused" in found:
        raise LifecycleError(f"{where} offers no {wanted}: {found['refused']}")
    path: Path = root / found["file"]
    if (got := sha256_of(path)) != found["sha256"]:
        raise ArtefactDigestError(f"{path} has sha256 {got}; {EXPORTS} says {found['sha256']}")
    return path


def _offered(root: Path, file: str) -> dict[str, Any]:
    return {"file": file, "sha256": sha256_of(root / file)}


def _quantised(root: Path, spec: ModelSpec, serving: ServingSpec, original: Path, holdout: pd.DataFrame) -> dict[str, Any]:
    if not spec.export.quantise.enabled:
        return {"refused": "not asked for: export.quantise.enabled is false"}
    target = root / _QUANTISED_FILE
    try:
        found = quantise(spec, serving, original, holdout, target)
    except Exception as problem:  # noqa: BLE001 - onnx and onnxruntime share no base class; an extra file must not stop a version
        target.unlink(missing_ok=True)
        return {"refused": f"it does not quantise: {type(problem).__name__}: {str(problem).splitlines()[0][:200]}"}
    if not found.accepted:
        return {"refused": found.reason, **found.plain}
    return _offered(root, _QUANTISED_FILE) | found.plain


def _bundle(root: Path, target: Path) -> None:
    """Everything of the version in one zip whose bytes depend on the files only."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file in sorted(path for path in root.rglob("*") if path.is_file()):
            with (
                file.open("rb") as source,
                bundle.open(zipfile.ZipInfo(file.relative_to(root).as_posix(), _FIRST_DAY), "w") as entry,
            ):
                shutil.copyfileobj(source, entry)
