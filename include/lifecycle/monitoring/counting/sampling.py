"""A uniform sample of bounded size over the slices of a large window: what checks see that need rows, not counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.windows import Window


@dataclass
class Sample:
    """Rows of one version, each kept with the same probability, which is halved whenever there are twice `size`.

    Deterministic: the same slices in the same order give the same rows.
    """

    version: int
    size: int
    kept: float = 1.0
    seen: int = 0
    held: list[Predictions] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.version)

    def add(self, part: Predictions, of: int) -> None:
        """Take the next slice's rows, the same share of each slice: this one has `of`."""
        self.seen += of
        self.held.append(self._thinned(part, self.kept))
        while sum(one.rows for one in self.held) > 2 * self.size:
            self.kept /= 2
            self.held = [self._thinned(one, 0.5) for one in self.held]

    def whole(self, window: Window) -> Predictions:
        """The sample as one window of `seen` rows."""
        return replace(joined(self.held, window), of_rows=self.seen)

    def _thinned(self, part: Predictions, share: float) -> Predictions:
        return part if share >= 1 else taken(part, self._random.uniform(size=part.rows) < share)


def taken(part: Predictions, rows: NDArray[np.bool_]) -> Predictions:
    """The chosen rows (n,)."""
    columns: dict[str, Any] = {name: column[rows] for name, column in _columns(part).items()}
    return replace(part, features={name: column[rows] for name, column in part.features.items()}, **columns)


def joined(parts: Sequence[Predictions], window: Window) -> Predictions:
    """Parts of one version, at least one, as rows of `window`."""
    columns: dict[str, Any] = {name: np.concatenate([getattr(one, name) for one in parts]) for name in _columns(parts[0])}
    features = {name: np.concatenate([one.features[name] for one in parts]) for name in parts[0].features}
    return replace(parts[0], window=window, features=features, **columns)


def _columns(part: Predictions) -> dict[str, Any]:
    """Every field that has one entry per row; features apart."""
    held = {one.name: getattr(part, one.name) for one in fields(part)}
    return {name: value for name, value in held.items() if isinstance(value, np.ndarray)}
