"""What the inputs' part of a profile is made of at registration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.statistics.null import DrawnWindows

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Material:
    """Training rows; the hold-out rows with their predictions, (n,) or (n, classes), and event times in seconds (n,); and by size
    the windows that were `drawn` from them. `seed` of all draws."""

    train: pandas.DataFrame
    holdout: pandas.DataFrame
    predictions: NDArray[np.float64]
    times: NDArray[np.float64]
    drawn: dict[int, DrawnWindows]
    seed: int
