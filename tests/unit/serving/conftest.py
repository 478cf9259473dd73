"""Version folders that all serving tests share; they are built once and never changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.serving.folders import build_folder


@pytest.fixture(scope="session")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A version folder with engine onnx, and its digest."""
    folder = tmp_path_factory.mktemp("served") / "3"
    return folder, build_folder(folder, "onnx")


@pytest.fixture(scope="session")
def sklearn_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A version folder with engine sklearn, and its digest."""
    folder = tmp_path_factory.mktemp("served") / "3"
    return folder, build_folder(folder, "sklearn")
