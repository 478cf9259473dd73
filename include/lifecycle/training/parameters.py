"""The parameters of each family that a search space may name, with the bounds that the library itself sets. A plain table.

The ranges that are searched by default stand in `models/_defaults.yaml` (training.search); rules/tuning.py holds both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

INFINITE = float("inf")
LEARNS_ON = ("lightgbm", "random_forest")  # families for method incremental: incremental.py says how, and why no other


@dataclass(frozen=True)
class Parameter:
    """One parameter: its kind, the library's bounds (the lower one excluded with `above`), its words, whether null is a value."""

    kind: Literal["int", "float", "word", "bool"]
    least: float = 0
    most: float = INFINITE
    above: bool = False
    words: tuple[str, ...] = ()
    nullable: bool = False

    def allowed(self) -> str:
        """What a value may be, for messages."""
        said = []
        if self.kind in ("int", "float"):
            kind = "a whole number" if self.kind == "int" else "a number"
            bound = f"{'above' if self.above else 'from'} {self.least:g}"
            said.append(f"{kind} {bound}" + ("" if self.most == INFINITE else f" to {self.most:g}"))
        if self.kind == "bool":
            said.append("true, false")
        said += self.words
        return ", ".join([*said, *(["null"] if self.nullable else [])])

    def takes(self, value: object) -> bool:
        """Whether the library takes this value."""
        if value is None:
            return self.nullable
        if isinstance(value, bool):
            return self.kind == "bool"
        if isinstance(value, str):
            return value in self.words
        if not isinstance(value, int | float) or self.kind not in ("int", "float"):
            return False
        if self.kind == "int" and float(value) != int(value):
            return False
        return (value > self.least if self.above else value >= self.least) and value <= self.most


def _whole(least: float, most: float = INFINITE, *, nullable: bool = False) -> Parameter:
    return Parameter("int", least, most, nullable=nullable)


_SHARE = Parameter("float", 0, 1, above=True)
_PENALTY = Parameter("float", 0)
_WEIGHTS = Parameter("word", words=("balanced",), nullable=True)

PARAMETERS: dict[str, dict[str, Parameter]] = {
    "logistic_regression": {
        "C": Parameter("float", 0, above=True),
        "class_weight": _WEIGHTS,
        "tol": Parameter("float", 0, above=True),
        "fit_intercept": Parameter("bool"),
    },
    "linear_regression": {
        "alpha": _PENALTY,
        "tol": Parameter("float", 0, above=True),
        "fit_intercept": Parameter("bool"),
    },
    "random_forest": {
        "n_estimators": _whole(1, 5000),
        "max_depth": _whole(1, nullable=True),
        "min_samples_leaf": _whole(1),
        "min_samples_split": _whole(2),
        "max_features": Parameter("float", 0, 1, above=True, words=("sqrt", "log2"), nullable=True),
        "max_leaf_nodes": _whole(2, nullable=True),
        "max_samples": Parameter("float", 0, 1, above=True, nullable=True),
        "min_impurity_decrease": _PENALTY,
        "ccp_alpha": _PENALTY,
        "class_weight": Parameter("word", words=("balanced", "balanced_subsample"), nullable=True),
        "bootstrap": Parameter("bool"),
    },
    "hist_gradient_boosting": {
        "max_iter": _whole(1, 5000),
        "learning_rate": _SHARE,
        "max_leaf_nodes": _whole(2, nullable=True),
        "max_depth": _whole(1, nullable=True),
        "min_samples_leaf": _whole(1),
        "l2_regularization": _PENALTY,
        "max_features": _SHARE,
        "max_bins": _whole(2, 255),
        "class_weight": _WEIGHTS,
    },
    "lightgbm": {
        "n_estimators": _whole(1, 5000),
        "learning_rate": _SHARE,
        "num_leaves": _whole(2, 131072),
        "max_depth": _whole(-1),
        "min_child_samples": _whole(1),
        "min_child_weight": _PENALTY,
        "min_split_gain": _PENALTY,
        "subsample": _SHARE,
        "subsample_freq": _whole(0),
        "colsample_bytree": _SHARE,
        "reg_alpha": _PENALTY,
        "reg_lambda": _PENALTY,
        "max_bin": _whole(2),
        "class_weight": _WEIGHTS,
    },
}
