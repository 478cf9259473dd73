"""A version's own feature code: the copy in its verified folder makes the model's features of what a request holds.

The text is executed as it stands in the version folder, never imported from include/features; nothing is written beside it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from include.serving.version_folder import InputColumn, VersionFolderInvalidError

if TYPE_CHECKING:
    import pandas as pd

TRANSFORMER_FILE = "transformer.py"
Columns = dict[str, list[Any]]


class TransformerError(VersionFolderInvalidError):
    """A transformer does not load, or does not keep its contract; the message says which part."""


class Transformer:
    """`function(rows: pandas.DataFrame) -> pandas.DataFrame`: the same rows in the same order, with the feature columns.

    Inputs come as float64 (null is NaN) and as pandas strings; features leave as float64 and as strings. It must not depend on
    other rows, on time or on anything that it keeps.
    """

    def __init__(
        self, function: Callable[[Any], Any], name: str, inputs: Sequence[InputColumn], features: Sequence[InputColumn]
    ) -> None:
        self._function, self.name = function, name
        self.inputs, self.features = tuple(inputs), tuple(features)

    @classmethod
    def load(cls, path: Path, function: str, inputs: Sequence[InputColumn], features: Sequence[InputColumn]) -> Transformer:
        """Execute the file and take its function; TransformerError when it fails or has none of that name."""
        name = f"{path.name}:{function}"
        try:
            source = path.read_bytes()
            module = ModuleType(f"modelops_transformer_{hashlib.sha256(source).hexdigest()[:16]}")
            sys.modules[module.__name__] = module  # dataclasses look their module up
            exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - its digest was checked
        except Exception as problem:
            raise TransformerError(f"{path} does not load: {type(problem).__name__}: {problem}") from problem
        found = getattr(module, function, None)
        if not callable(found):
            raise TransformerError(f"{path} has no function {function!r}")
        return cls(found, name, inputs, features)

    def apply(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The feature columns of `rows` (n rows, with all inputs), in the order of `features`, numbered as `rows` is.

        Raises TransformerError when the function raises, changes the rows or their order, or leaves a feature out or of another
        kind.
        """
        try:
            made = self._function(self._given(rows))
        except Exception as problem:
            raise TransformerError(f"transformer {self.name} failed: {type(problem).__name__}: {problem}") from problem
        return self._taken(made, rows)

    def columns(self, columns: Columns, rows: int) -> Columns:
        """The same for a request's columns: lists with None for null."""
        import pandas as pd

        made = self.apply(pd.DataFrame({column.name: columns[column.name] for column in self.inputs}, index=range(rows)))
        texts = {column.name for column in self.features if column.kind == "categorical"}
        found = {name: (made[name].astype(object) if name in texts else made[name]) for name in made.columns}
        plain = {name: values.where(values.notna(), None) if name in texts else values for name, values in found.items()}
        return {name: values.tolist() for name, values in plain.items()}

    def _given(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The inputs in their kinds; a copy, so that the function may write into it."""
        import pandas as pd

        given = {
            column.name: rows[column.name].to_numpy(dtype=np.float64, na_value=np.nan)
            if column.kind == "numeric"
            else rows[column.name].astype("str").to_numpy(dtype=object, na_value=np.nan)
            for column in self.inputs
        }
        texts = {column.name: "str" for column in self.inputs if column.kind == "categorical"}
        return pd.DataFrame(given, index=rows.index).astype(texts)

    def _taken(self, made: Any, rows: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        if not isinstance(made, pd.DataFrame):
            raise TransformerError(f"transformer {self.name} returned {type(made).__name__}; a pandas.DataFrame is expected")
        if not made.index.equals(rows.index):
            raise TransformerError(f"transformer {self.name} returned {len(made)} rows for {len(rows)}, or in another order")
        if missing := [column.name for column in self.features if column.name not in made.columns]:
            raise TransformerError(f"transformer {self.name} leaves out {', '.join(missing)}, which features lists")
        return pd.DataFrame({column.name: self._kind(made[column.name], column) for column in self.features}, index=rows.index)

    def _kind(self, values: Any, column: InputColumn) -> Any:
        import pandas as pd

        if column.kind == "numeric":
            if not pd.api.types.is_numeric_dtype(values.dtype):
                raise TransformerError(f"transformer {self.name} makes {column.name} as {values.dtype}; a number is expected")
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            return np.where(np.isfinite(numbers), numbers, np.nan)
        text = values.astype("str").str.strip()
        return text.where(text != "")
