"""The artefact that would serve, built before registration: gates on consistency and latency ask it, not the fitted pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from include.lifecycle.registry.scoring import describe, known_categories
from include.lifecycle.registry.version_files import Material, write_engine
from include.lifecycle.results import TrainedModel
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats
from include.lifecycle.storage import sha256_of
from include.serving.engines import Engine, load_engine
from include.serving.version_folder import MODEL_FILES, ServingSpec

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class Served:
    """The engine as a model server loads it, and the sha256 of its model file."""

    engine: Engine
    serving: ServingSpec
    digest: str

    def evidence(self) -> dict[str, str]:
        """Which artefact was asked, JSON-plain."""
        return {"engine": self.serving.engine, "artefact_sha256": self.digest}


@contextmanager
def built(
    spec: ModelSpec,
    trained: TrainedModel,
    pipeline: Pipeline,
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    p: Floats,
    transformer: Path | None = None,
) -> Iterator[Served]:
    """Export the fitted pipeline as registration does (ONNX if it agrees, else skops) and load it; files vanish afterwards."""
    with TemporaryDirectory(prefix="modelops-evaluate-") as temporary:
        folder = Path(temporary) / "serving"
        export = write_engine(folder, spec, trained, Material(pipeline, train, holdout, p, transformer))
        serving = describe(spec, version=0, engine=export.engine, known=known_categories(spec, train))
        yield Served(load_engine(folder, serving), serving, sha256_of(folder / MODEL_FILES[export.engine]))
