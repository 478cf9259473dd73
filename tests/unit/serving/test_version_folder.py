from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from include.lifecycle.errors import ArtefactDigestError
from include.serving.version_folder import ServingSpec, VersionFolderInvalidError, read_spec, verify, write_manifest
from tests.unit.serving.folders import serving_spec


@pytest.fixture
def folder(onnx_folder: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    shutil.copytree(onnx_folder[0], tmp_path / "3")
    return tmp_path / "3", onnx_folder[1]


def test_the_folder_that_was_written_verifies(folder: tuple[Path, str]) -> None:
    verify(*folder)
    assert write_manifest(folder[0]) == folder[1]
    assert set(json.loads((folder[0] / "manifest.json").read_text())["files"]) == {"golden.json", "model.onnx", "serving.json"}


def test_a_changed_file_is_named(folder: tuple[Path, str]) -> None:
    with (folder[0] / "model.onnx").open("ab") as model:
        model.write(b"x")
    with pytest.raises(ArtefactDigestError, match=r"model\.onnx has sha256"):
        verify(*folder)


def test_a_forged_manifest_is_refused(folder: tuple[Path, str]) -> None:
    (folder[0] / "extra.bin").write_bytes(b"x")
    write_manifest(folder[0])
    with pytest.raises(ArtefactDigestError, match=r"manifest\.json has sha256 .*; expected"):
        verify(*folder)


@pytest.mark.parametrize("name", ["extra.bin", "sub/extra.bin"])
def test_an_extra_file_is_refused(folder: tuple[Path, str], name: str) -> None:
    (folder[0] / name).parent.mkdir(exist_ok=True)
    (folder[0] / name).write_bytes(b"x")
    with pytest.raises(ArtefactDigestError, match=f"{name} not listed"):
        verify(*folder)


def test_a_missing_file_is_named(folder: tuple[Path, str]) -> None:
    (folder[0] / "golden.json").unlink()
    with pytest.raises(ArtefactDigestError, match=r"golden\.json listed in manifest\.json but missing"):
        verify(*folder)


def test_a_link_is_refused(folder: tuple[Path, str], tmp_path: Path) -> None:
    model = folder[0] / "model.onnx"
    model.rename(tmp_path / "model.onnx")
    model.symlink_to(tmp_path / "model.onnx")
    with pytest.raises(ArtefactDigestError, match="no regular file"):
        verify(*folder)


def test_no_folder_and_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ArtefactDigestError, match="without manifest"):
        verify(tmp_path / "none", "00")


def test_serving_json_goes_both_ways() -> None:
    spec = serving_spec()
    assert ServingSpec.from_json(spec.to_json()) == spec
    assert json.loads(spec.to_json())["inputs"][0] == {
        "name": "distance",
        "kind": "numeric",
        "datatype": "FP64",
        "nullable": True,
        "known": None,
    }
    assert spec.numeric == ["distance", "wind_speed"]
    assert spec.categorical == ["carrier"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"engine": "pickle"}, "pickle"),
        ({"version": "three"}, "three"),
        ({"inputs": [{"name": "distance", "kind": "date"}]}, "date"),
        ({"inputs": [{"name": "distance", "kind": "numeric", "datatype": "BYTES"}]}, "BYTES"),
        ({"inputs": 3}, "int"),
    ],
)
def test_a_malformed_serving_json_says_what_is_wrong(changes: dict[str, object], named: str) -> None:
    raw = json.loads(serving_spec().to_json()) | changes
    with pytest.raises(VersionFolderInvalidError, match=named):
        ServingSpec.from_json(json.dumps(raw))


def test_a_missing_serving_json(tmp_path: Path) -> None:
    with pytest.raises(VersionFolderInvalidError, match=r"serving\.json: No such file"):
        read_spec(tmp_path)
