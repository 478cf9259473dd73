"""What tuning may try: the YAML's search spaces (`training.search`) as dimensions that Optuna asks, and points to begin with.

Names in a study are `<algorithm>__<parameter>`; each algorithm's start values are tried first in every study.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.lifecycle.sections.training import TrainingSection
from include.lifecycle.sections.tuning import Choice, SearchRange, SearchValue
from include.lifecycle.training.parameters import PARAMETERS

if TYPE_CHECKING:
    from optuna.trial import BaseTrial, Trial

ALGORITHM = "algorithm"
Point = dict[str, Any]


@dataclass(frozen=True)
class Dimension:
    """One parameter: its bounds (inclusive), its start, and whether it is an integer or searched on a log scale."""

    low: float
    high: float
    default: float
    log: bool = False
    integer: bool = False

    def suggest(self, trial: Trial, name: str) -> Choice:
        """Let the sampler choose a value."""
        if self.integer:
            return int(trial.suggest_int(name, int(self.low), int(self.high), log=self.log))
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))

    @property
    def start(self) -> Choice:
        """The value to begin with, as an int where the parameter is one."""
        return round(self.default) if self.integer else self.default

    def nearest(self, value: Choice) -> Choice:
        """The value drawn into the bounds; the start for what is no number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return self.start
        inside = min(max(float(value), self.low), self.high)
        return round(inside) if self.integer else inside


@dataclass(frozen=True)
class Choices:
    """One parameter with a list of values; the first is the start."""

    values: tuple[Choice, ...]

    def suggest(self, trial: Trial, name: str) -> Choice:
        """Let the sampler choose a value; a single one is no question."""
        value: Choice = self.values[0] if len(self.values) == 1 else trial.suggest_categorical(name, list(self.values))
        return value

    @property
    def start(self) -> Choice:
        """The first value."""
        return self.values[0]

    def nearest(self, value: Choice) -> Choice:
        """The value itself where it is listed, else the start."""
        return value if any(value == listed and type(value) is type(listed) for listed in self.values) else self.start


def space_of(training: TrainingSection, algorithm: str) -> dict[str, Dimension | Choices]:
    """The dimensions of one algorithm by parameter, in the YAML's order; empty when nothing is searched or kept."""
    known = PARAMETERS.get(algorithm, {})
    found = training.search.get(algorithm, {})
    return {name: _dimension(value, integer=name in known and known[name].kind == "int") for name, value in found.items()}


def start_of(training: TrainingSection, algorithm: str) -> dict[str, Any]:
    """One algorithm's start values by parameter."""
    return {name: dimension.start for name, dimension in space_of(training, algorithm).items()}


def starting_points(training: TrainingSection) -> list[Point]:
    """Each listed algorithm's start in the study's own parameter names, in the YAML's order."""
    return [_point(training, name, start_of(training, name)) for name in training.estimators]


def champion_point(training: TrainingSection, algorithm: str, params: dict[str, Any]) -> tuple[Point | None, list[str]]:
    """The champion's parameters as a point of this study, and what had to be changed, in words.

    None when its algorithm is not listed any more. Parameters outside their bounds are drawn in; ones it did not know start
    where the YAML says.
    """
    if algorithm not in training.estimators:
        return None, [f"its algorithm {algorithm} is not among training.estimators"]
    inside: dict[str, Any] = {}
    changed = []
    for name, dimension in space_of(training, algorithm).items():
        inside[name] = dimension.nearest(params[name]) if name in params else dimension.start
        if name in params and inside[name] != params[name]:
            changed.append(f"{name} {params[name]!r} became {inside[name]!r}")
    return _point(training, algorithm, inside), changed


def suggest(trial: Trial, training: TrainingSection) -> tuple[str, dict[str, Any]]:
    """Algorithm and its parameters for this trial."""
    name = str(trial.suggest_categorical(ALGORITHM, list(training.estimators)))
    return name, {key: dimension.suggest(trial, f"{name}__{key}") for key, dimension in space_of(training, name).items()}


def chosen(trial: BaseTrial, training: TrainingSection) -> tuple[str, dict[str, Any]]:
    """Algorithm and parameters that a finished trial used, those that the YAML keeps at one value among them."""
    name = str(trial.params[ALGORITHM])
    asked = {key.partition("__")[2]: value for key, value in trial.params.items() if key.startswith(f"{name}__")}
    kept = {key: one.start for key, one in space_of(training, name).items() if isinstance(one, Choices) and len(one.values) == 1}
    return name, kept | asked


def _point(training: TrainingSection, algorithm: str, params: dict[str, Any]) -> Point:
    space = space_of(training, algorithm)
    asked = {key for key, one in space.items() if not (isinstance(one, Choices) and len(one.values) == 1)}
    return {ALGORITHM: algorithm} | {f"{algorithm}__{key}": value for key, value in params.items() if key in asked}


def _dimension(value: SearchValue, *, integer: bool) -> Dimension | Choices:
    if isinstance(value, SearchRange):
        middle = math.sqrt(value.low * value.high) if value.log else (value.low + value.high) / 2
        start = middle if value.start is None else min(max(value.start, value.low), value.high)
        return Dimension(value.low, value.high, start, log=value.log, integer=integer)
    return Choices(tuple(value) if isinstance(value, list) else (value,))
