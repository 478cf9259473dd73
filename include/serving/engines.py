"""What computes: one verified version folder -> an engine that turns checked columns into predictions.

`onnx` starts in under a second and answers a row in 0.04 ms; `sklearn` is for models that do not convert (seconds, 10 ms).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from include.serving.outputs import MULTICLASS
from include.serving.version_folder import MISSING_CATEGORY, MODEL_FILES, ServingSpec, VersionFolderInvalidError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from include.serving.transformer import Transformer

Columns = dict[str, list[Any]]
SERVED_TASKS = ("binary_classification", MULTICLASS, "regression")


class Engine(Protocol):
    """Computes predictions; `blocking` says that one call is too slow for the event loop."""

    blocking: bool

    def predict(self, columns: Columns, rows: int) -> NDArray[np.float64]:
        """Predictions: P(target = 1) [rows] for binary classification, the value [rows] for regression, probabilities
        [rows, classes] for multiclass. None in a column is a null."""
        ...


def load_engine(folder: Path, spec: ServingSpec) -> Engine:
    """Load the verified model file and answer one row of nulls, so that no client pays for the first call.

    Raises VersionFolderInvalidError naming what does not fit: the file, its inputs, its types or its task.
    """
    if spec.task not in SERVED_TASKS:
        raise VersionFolderInvalidError(f"{folder}: task {spec.task} is not served; allowed: {', '.join(SERVED_TASKS)}")
    if spec.transformer:
        return _transformed(folder, spec, spec.transformer)
    path = folder / MODEL_FILES[spec.engine]
    if not path.is_file():
        raise VersionFolderInvalidError(f"{path} is missing; engine {spec.engine} needs it")
    engine: Engine = OnnxEngine(path, spec) if spec.engine == "onnx" else SklearnEngine(path, spec)
    try:
        answer = engine.predict({column.name: [None] for column in spec.inputs}, 1)
    except Exception as problem:
        raise VersionFolderInvalidError(f"{path} does not answer a row of nulls: {problem}") from problem
    wanted = (1, len(spec.classes)) if spec.task == MULTICLASS else (1,)
    if answer.shape != wanted:
        raise VersionFolderInvalidError(f"{path} answers one row with shape {answer.shape}; task {spec.task} needs {wanted}")
    return engine


def _positive(spec: ServingSpec) -> int:
    """Position of class 1 (or True, or "1") among the model's classes; the last one when the labels are other words."""
    labels = [str(label) for label in spec.classes]
    return next((labels.index(label) for label in ("1", "True", "1.0") if label in labels), len(labels) - 1)


class TransformedEngine:
    """A model behind its own feature code: pandas makes the features of each request, `model` predicts from them."""

    blocking = True

    def __init__(self, transformer: Transformer, model: Engine) -> None:
        self._transformer, self.model = transformer, model

    def features(self, columns: Columns, rows: int) -> Columns:
        """What the model reads, made of what a request holds."""
        return self._transformer.columns(columns, rows)

    def predict(self, columns: Columns, rows: int) -> NDArray[np.float64]:
        """See Engine.predict; `columns` are the transformer's inputs."""
        return self.model.predict(self.features(columns, rows), rows)


def _transformed(folder: Path, spec: ServingSpec, function: str) -> Engine:
    from include.serving.transformer import TRANSFORMER_FILE, Transformer

    transformer = Transformer.load(folder / TRANSFORMER_FILE, function, spec.inputs, spec.features)
    engine = TransformedEngine(transformer, load_engine(folder, replace(spec, inputs=spec.features, transformer=None)))
    engine.predict({column.name: [None] for column in spec.inputs}, 1)
    return engine


class OnnxEngine:
    """ONNX Runtime on one thread: a pipeline with one input per column, float [n, 1] or string [n, 1]."""

    blocking = False
    _dtypes = {"tensor(float)": np.float32, "tensor(double)": np.float64}  # noqa: RUF012 - read only

    def __init__(self, path: Path, spec: ServingSpec) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as problem:
            raise VersionFolderInvalidError(f"{path} does not load: {problem}") from problem
        self._inputs = [(item.name, item.type) for item in self._session.get_inputs()]
        _check_onnx_inputs(path, self._inputs, spec)
        self._output = _onnx_output(path, self._session, spec)
        self._column = _positive(spec) if spec.task == "binary_classification" else 0
        self._whole = spec.task == MULTICLASS

    def predict(self, columns: Columns, rows: int) -> NDArray[np.float64]:
        """See Engine.predict; nulls are fed as NaN and as the category `missing`."""
        feed: dict[str, Any] = {}
        for name, kind in self._inputs:
            values = columns[name]
            if kind == "tensor(string)":
                cells = [MISSING_CATEGORY if value is None else value for value in values]
                feed[name] = np.array(cells, dtype=object).reshape(rows, 1)
            else:
                feed[name] = np.array(values, dtype=self._dtypes[kind]).reshape(rows, 1)
        result = self._session.run([self._output], feed)[0]
        flat = result.reshape(rows, -1)
        if self._whole:
            return np.asarray(flat, dtype=np.float64)
        return np.asarray(flat[:, min(self._column, flat.shape[1] - 1)], dtype=np.float64)


def _check_onnx_inputs(path: Path, inputs: list[tuple[str, str]], spec: ServingSpec) -> None:
    kinds = {"numeric": ("tensor(float)", "tensor(double)"), "categorical": ("tensor(string)",)}
    expected = {column.name: kinds[column.kind] for column in spec.inputs}
    for name, kind in inputs:
        if name not in expected:
            raise VersionFolderInvalidError(f"{path}: model input {name!r} is no column of serving.json ({', '.join(expected)})")
        if kind not in expected[name]:
            raise VersionFolderInvalidError(f"{path}: model input {name!r} is {kind}; expected {' or '.join(expected[name])}")


def _onnx_output(path: Path, session: Any, spec: ServingSpec) -> str:
    floats = [item.name for item in session.get_outputs() if item.type in OnnxEngine._dtypes]
    wanted = "variable" if spec.task == "regression" else "probabilities"
    if wanted in floats or len(floats) == 1:
        return wanted if wanted in floats else str(floats[0])
    present = ", ".join(f"{item.name} {item.type}" for item in session.get_outputs())
    raise VersionFolderInvalidError(f"{path}: no output {wanted!r} of floats (found {present}); convert with zipmap=False")


class SklearnEngine:
    """The scikit-learn pipeline itself, read by skops with an explicit list of trusted types; never by pickle."""

    blocking = True

    def __init__(self, path: Path, spec: ServingSpec) -> None:
        from include.serving.trusted_types import load_trusted

        self._model = load_trusted(path)
        self._task = spec.task
        method = "predict" if spec.task == "regression" else "predict_proba"
        if not hasattr(self._model, method):
            raise VersionFolderInvalidError(f"{path}: {type(self._model).__name__} has no {method}; task {spec.task} needs it")
        self._kinds = {column.name: column.kind for column in spec.inputs}
        self._column = _positive(spec)

    def predict(self, columns: Columns, rows: int) -> NDArray[np.float64]:
        """See Engine.predict; nulls are fed as NaN and as the category `missing`."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                name: np.array(columns[name], dtype=np.float64)
                if kind == "numeric"
                else np.array([MISSING_CATEGORY if value is None else value for value in columns[name]], dtype=object)
                for name, kind in self._kinds.items()
            }
        )
        if self._task == "regression":
            return np.asarray(self._model.predict(frame), dtype=np.float64).reshape(rows)
        found = np.asarray(self._model.predict_proba(frame), dtype=np.float64)
        return found if self._task == MULTICLASS else found[:, self._column]
