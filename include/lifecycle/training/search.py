"""What tuning may try: one search space per algorithm, as data. Each one's defaults are tried first in every study.

Bounds keep single-row latency and a two-core training in mind: at most 200 trees, bounded depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import BaseTrial, Trial

ALGORITHM = "algorithm"


@dataclass(frozen=True)
class Dimension:
    """One parameter: its bounds (inclusive), its default, and whether it is an integer or searched on a log scale."""

    low: float
    high: float
    default: float
    log: bool = False
    integer: bool = False

    def suggest(self, trial: Trial, name: str) -> float | int:
        """Let the sampler choose a value."""
        if self.integer:
            return int(trial.suggest_int(name, int(self.low), int(self.high), log=self.log))
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))

    @property
    def start(self) -> float | int:
        """The default, as an int where the parameter is one."""
        return int(self.default) if self.integer else self.default


SPACES: dict[str, dict[str, Dimension]] = {
    "logistic_regression": {
        "C": Dimension(1e-3, 10, default=0.1, log=True),
    },
    "random_forest": {
        "n_estimators": Dimension(40, 200, default=80, log=True, integer=True),
        "max_depth": Dimension(4, 14, default=9, integer=True),
        "min_samples_leaf": Dimension(1, 100, default=10, log=True, integer=True),
        "max_features": Dimension(0.2, 0.8, default=0.4),
    },
    "hist_gradient_boosting": {
        "max_iter": Dimension(30, 200, default=80, log=True, integer=True),
        "learning_rate": Dimension(0.02, 0.3, default=0.08, log=True),
        "max_leaf_nodes": Dimension(7, 63, default=23, log=True, integer=True),
        "min_samples_leaf": Dimension(10, 200, default=40, log=True, integer=True),
        "l2_regularization": Dimension(1e-3, 10, default=0.1, log=True),
    },
}


def starting_points(algorithms: list[str]) -> list[dict[str, Any]]:
    """Each algorithm's defaults in the study's own parameter names, in the YAML's order."""
    return [
        {ALGORITHM: name} | {f"{name}__{key}": dimension.start for key, dimension in SPACES[name].items()} for name in algorithms
    ]


def suggest(trial: Trial, algorithms: list[str]) -> tuple[str, dict[str, Any]]:
    """Algorithm and its parameters for this trial."""
    name = trial.suggest_categorical(ALGORITHM, algorithms)
    return name, {key: dimension.suggest(trial, f"{name}__{key}") for key, dimension in SPACES[name].items()}


def chosen(trial: BaseTrial) -> tuple[str, dict[str, Any]]:
    """Algorithm and parameters that a finished trial used."""
    name = str(trial.params[ALGORITHM])
    return name, {key.partition("__")[2]: value for key, value in trial.params.items() if key.startswith(f"{name}__")}
