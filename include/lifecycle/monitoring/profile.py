"""The reference that a version is monitored by: what its training data and hold-out looked like. Written once, with the version.

Registration builds and stores it; drift, prediction and performance checks read it. Two files: `profile.json` and `samples.npz`.
"""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.monitoring.inputs.reference import InputsReference
from include.lifecycle.monitoring.nulls import Null, null_for
from include.lifecycle.monitoring.reference_parts import FeedReference, GroupReference, PatternReference
from include.lifecycle.sections.monitoring import CategoricalMethod, NumericMethod
from include.lifecycle.statistics.distances import SMALLEST_SCALE, NumericReference, QuantileBins
from include.lifecycle.storage import write_whole

if TYPE_CHECKING:
    import pandas

    from include.lifecycle.spec import ModelSpec

Floats = NDArray[np.float64]

PROFILE_FILE, SAMPLES_FILE = "profile.json", "samples.npz"
PREDICTION = "@prediction"  # no column can be called so
QUANTILE_LEVELS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


class Frozen(BaseModel):
    """Base of the profile's parts."""

    model_config = ConfigDict(frozen=True)


class ColumnProfile(Frozen):
    """One watched column: rows and share of nulls in training, the share that hold-out windows hardly exceed, and the distance's
    nulls by window size (rising `rows`)."""

    rows: int
    null_share: float
    null_share_bar: float = 1.0
    nulls: list[Null] = []

    def null_for(self, rows: int) -> Null | None:
        """The null of the largest window size not above `rows`: smaller windows are noisier, so this errs to the safe side."""
        return null_for(self.nulls, rows)


class NumericProfile(ColumnProfile):
    """A numeric column; `quantiles` at QUANTILE_LEVELS. The sorted sample lies in the profile's `samples`.

    `method` drew the nulls, so windows are measured by it; profiles from before it was stored have Wasserstein's. Only
    methods over cells (not wasserstein, ks) have `edges` and `bin_counts` (QuantileBins).
    """

    mean: float
    std: float
    quantiles: list[float]
    method: NumericMethod = "wasserstein"
    edges: list[float] = []
    bin_counts: list[int] = []

    def quantile(self, level: float) -> float:
        """The stored quantile at one of QUANTILE_LEVELS."""
        return self.quantiles[QUANTILE_LEVELS.index(level)]


class CategoricalProfile(ColumnProfile):
    """A categorical column with its counts in training, and the method of its nulls as in NumericProfile."""

    counts: dict[str, int]
    method: CategoricalMethod = "jensen_shannon"


class EstimateReference(Frozen):
    """How a classifier's performance is estimated without labels (outcomes/estimate.py): per class (binary: of the second one) a
    calibration curve through (`scores`, `rates`); over `windows` independent hold-out windows the mean measured `skill`, mean and
    deviation of estimated less measured skill (and the same of the metric's `value`), and the `spread` of estimated skill.
    `calibration_error`: expected, out of fold."""

    metric: str
    scores: list[list[float]]
    rates: list[list[float]]
    calibration_error: float
    skill: float
    bias: float
    deviation: float
    spread: float
    value_bias: float
    value_deviation: float
    windows: float


class PerformanceReference(Frozen):
    """What the hold-out showed: objective metric (acting from `threshold` on) over all of it; for binary targets the Brier score,
    rate and mean prediction; for a regression `rate` is the labels' mean and `spread` their standard deviation.

    `skill` (skill.py; of a regression's error the error itself) is the mean over hold-out windows of the monitored length,
    `deviation` their standard deviation, `windows` how many independent ones there are: ranking within days is harder than
    across them, so windows are compared with windows. `gap_deviations`: standard deviation of their calibration gaps, by class
    ("" for tasks without), empty in profiles from before it was stored. `estimate`: how windows without labels are estimated.
    """

    rows: int
    metric: str
    threshold: float = 0.5  # at which profiles were made before it was part of the spec
    value: float
    brier_score: float | None = None
    rate: float | None = None
    mean_prediction: float | None = None
    spread: float | None = None
    skill: float | None
    deviation: float
    windows: float
    gap_deviations: dict[str, float] = {}
    estimate: EstimateReference | None = None


class Profile(Frozen):
    """The whole reference of one version. `samples`: sorted values per numeric column and of the hold-out's predictions.

    `prediction`: what the hold-out's predictions looked like; of a multiclass model how often it predicted each class.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    model: str
    train_rows: int
    holdout_rows: int
    holdout_from: datetime
    holdout_until: datetime
    window_seconds: float
    numeric: dict[str, NumericProfile]
    categorical: dict[str, CategoricalProfile]
    prediction: NumericProfile | CategoricalProfile
    performance: PerformanceReference | None
    feed: FeedReference | None = None
    groups: list[GroupReference] = Field(default_factory=list)
    patterns: PatternReference | None = None
    inputs: InputsReference | None = None
    samples: dict[str, Floats] = Field(exclude=True, repr=False)

    def reference(self, column: str) -> NumericReference:
        """The prepared sample of a numeric column, or of PREDICTION; KeyError for any other."""
        return NumericReference(self.samples[column], max(self._numeric(column).std, SMALLEST_SCALE))

    def distance(self, column: str, values: Floats) -> float:
        """Distance of a window's values (n,) from a numeric column, or PREDICTION, by its method; NaN when either is empty."""
        stored = self._numeric(column)
        if column not in self.samples:
            return float("nan")
        if stored.edges:
            bins = QuantileBins(np.array(stored.edges), np.array(stored.bin_counts, dtype=np.int64))
            return bins.distance(values, stored.method)
        reference = self.reference(column)
        return reference.ks(values) if stored.method == "ks" else reference.distance(values)

    def _numeric(self, column: str) -> NumericProfile:
        stored = self.prediction if column == PREDICTION else self.numeric[column]
        if not isinstance(stored, NumericProfile):
            raise KeyError(f"{column} of a multiclass model has counts of classes, no sample")
        return stored

    def write(self, folder: Path) -> None:
        """Write both files into `folder` (created when missing); samples first, so that profile.json says the pair is whole."""
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **{_member(name): values for name, values in self.samples.items()})
        write_whole(folder / SAMPLES_FILE, packed.getvalue())
        write_whole(folder / PROFILE_FILE, self.model_dump_json(indent=1))


def read_profile(folder: Path) -> Profile:
    """Read what `Profile.write` wrote; raise DataInvalidError naming the folder when a file is missing or malformed."""
    try:
        plain: dict[str, Any] = json.loads((folder / PROFILE_FILE).read_bytes())
        with np.load(folder / SAMPLES_FILE, allow_pickle=False) as packed:
            samples = {name.removeprefix("sample_"): packed[name] for name in packed.files}
        return Profile.model_validate(plain | {"samples": samples})
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataInvalidError(f"reference profile {folder}: {problem}; expected {PROFILE_FILE} and {SAMPLES_FILE}") from problem


def _member(name: str) -> str:
    return f"sample_{name}"


def build_profile(
    spec: ModelSpec, train: pandas.DataFrame, holdout: pandas.DataFrame, holdout_predictions: Floats, *, seed: int
) -> Profile:
    """Profile one version from what it was fitted on (`train`) and what it was not (`holdout`, with event time and target).

    `holdout_predictions`: (n,) or (n, classes), n = len(holdout). Raise DataInvalidError for an empty table or another length.
    """
    from include.lifecycle.monitoring.referencing import profile_from
    from include.lifecycle.monitoring.safety_parts import with_patterns

    if len(train) == 0 or len(holdout) == 0:
        raise DataInvalidError(f"profile of {spec.name}: {len(train)} training and {len(holdout)} hold-out rows; both are needed")
    if len(holdout_predictions) != len(holdout):
        raise DataInvalidError(f"profile of {spec.name}: {len(holdout_predictions)} predictions for {len(holdout)} hold-out rows")
    predictions = np.asarray(holdout_predictions, dtype=np.float64)
    return with_patterns(spec, profile_from(spec, train, holdout, predictions, seed=seed), holdout, predictions)
