"""One number between 0 and 1 for a window, with its parts. For people and dashboards; nothing is triggered by it.

    performance  the lesser of 1 - clip(lower bound of skill lost / 0.20)
                 and 1 - clip(lower bound of the calibration gap / (4 x its limit)), 1 while the gap is within
                 what hold-out windows show by nature (`usual`, calibration.py)
    prediction   1 - clip((distance - threshold) / act_effect), 1 within the threshold
    drift        1 - failed / conclusive features
    data         1 - faulty / checked features, halved once any is faulty
    coverage     clip(rows / minimum_rows) x clip(mature labels / minimum_labels), labels counted only once they can be mature

Health = weighted mean over the known parts (weights 0.40, 0.15, 0.15, 0.20, 0.10, renormalised). With neither data, drift,
prediction nor performance known there is no health. Bands: above 0.8 good, 0.6 to 0.8 warning, below critical.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from include.lifecycle.monitoring.kinds import COVARIATE, DATA_FAULT, DECAY, PREDICTION_DRIFT, column_of
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

WEIGHTS = {"performance": 0.40, "prediction": 0.15, "drift": 0.15, "data": 0.20, "coverage": 0.10}
WORST_LOSS = 0.20  # skill lost at which a rollback would be due
GOOD, WARNING = 0.8, 0.6


def health_of(
    spec: ModelSpec, verdicts: Sequence[Verdict], *, rows: int, mature_rows: int, labels_due: bool
) -> tuple[float | None, dict[str, float]]:
    """The score (None when nothing is known) and its known parts, each in [0, 1]. `labels_due`: all labels had time to mature."""
    parts: dict[str, float | None] = {
        "performance": _performance(verdicts),
        "prediction": _prediction(spec, verdicts),
        "drift": _passing(verdicts, COVARIATE),
        "data": _data(verdicts),
    }
    known = {name: value for name, value in parts.items() if value is not None}
    if not known:
        return None, {}
    known["coverage"] = _unit(rows / spec.monitoring.minimum_rows)
    if labels_due:
        known["coverage"] *= _unit(mature_rows / spec.monitoring.minimum_labels)
    total = sum(WEIGHTS[name] for name in known)
    return sum(WEIGHTS[name] * value for name, value in known.items()) / total, known


def band(health: float) -> str:
    """The documents' three bands: good, warning, critical."""
    return "good" if health > GOOD else "warning" if health >= WARNING else "critical"


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _conclusive(verdicts: Sequence[Verdict], kind: str) -> list[Verdict]:
    return [v for v in verdicts if v.check.partition(":")[0] == kind and v.outcome is not Outcome.INCONCLUSIVE]


def _passing(verdicts: Sequence[Verdict], kind: str) -> float | None:
    columns: dict[str, bool] = {}
    for verdict in _conclusive(verdicts, kind):
        column = column_of(verdict.check)
        columns[column] = columns.get(column, True) and verdict.passed
    return sum(columns.values()) / len(columns) if columns else None


def _data(verdicts: Sequence[Verdict]) -> float | None:
    share = _passing(verdicts, DATA_FAULT)
    return share if share is None or share == 1 else share / 2


def _prediction(spec: ModelSpec, verdicts: Sequence[Verdict]) -> float | None:
    for verdict in _conclusive(verdicts, PREDICTION_DRIFT):
        beyond = verdict.evidence["effect"] - verdict.evidence["threshold"]
        return 1 - _unit(beyond / max(spec.monitoring.drift.act_effect, 1e-9))
    return None


def _performance(verdicts: Sequence[Verdict]) -> float | None:
    worst: list[float] = []
    for verdict in _conclusive(verdicts, DECAY):
        found, scale = verdict.evidence, WORST_LOSS
        if found.get("measure") == "calibration_gap":
            scale = math.inf if found["effect"] <= found["usual"] else 4 * found["threshold"]
        worst.append(1 - _unit(found["lower"] / max(scale, 1e-9)))
    return min(worst) if worst else None
