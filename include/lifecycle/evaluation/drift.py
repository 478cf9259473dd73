"""Gate on drift between training and hold-out: what the model learnt from and what it is judged by should look alike.

A distance counts only above `monitoring.drift.minimum_effect` and above its own null: training windows of the hold-out's length,
drawn in blocks and compared with the rest of the training rows (design rule of monitoring, statistics/null.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.evaluation.judging import too_few
from include.lifecycle.registry.onnx_export import spread_rows
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.distances import CELL_DISTANCES, numeric_distance
from include.lifecycle.statistics.intervals import Floats
from include.lifecycle.statistics.null import DrawnWindows, draw_windows, independent_windows, null_threshold
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

DRIFT = "drift"
FEWEST_WINDOWS = 3  # windows of the hold-out's length that fit into the training rows side by side; fewer tell no null
Distance = Callable[[Floats, Floats], float]


def drift_gate(spec: ModelSpec, train: pd.DataFrame, holdout: pd.DataFrame) -> list[Verdict]:
    """One verdict over all watched features: fail when one lies further from training than its null and the effect allow."""
    rules, effect = spec.evaluation.drift, spec.monitoring.drift.minimum_effect
    evidence: dict[str, Any] = {"act": rules.act, "minimum_effect": effect, "level": rules.level, "rows": len(holdout)}
    if len(holdout) < spec.evaluation.minimum_rows:
        why = f"{len(holdout)} rows; evaluation.minimum_rows is {spec.evaluation.minimum_rows}"
        return [too_few(DRIFT, why, evidence)]
    reference = train.iloc[spread_rows(len(train), rules.rows)]
    times = _seconds(spec, reference)
    span = timedelta(seconds=max(float(np.ptp(_seconds(spec, holdout))), 1.0))
    drawn = draw_windows(times, span, rows=len(holdout), draws=rules.draws, seed=spec.training.seed)
    if drawn.disjoint < FEWEST_WINDOWS:
        why = f"training spans {drawn.disjoint:.1f} windows of the hold-out's length; a null needs {FEWEST_WINDOWS}"
        return [too_few(DRIFT, why, evidence)]
    ignored = {name for name, column in spec.columns.items() if column.drift == "ignore"}
    watched = [name for name in spec.features.read if name not in ignored]
    level = rules.level / max(1, len(watched))
    columns = {name: _column(spec, name, reference[name], holdout[name], drawn, level) for name in watched}
    drifted = {name: told for name, told in columns.items() if told["drifted"]}
    evidence |= {"columns": columns, "windows": round(drawn.disjoint, 2)}
    if not drifted:
        return [
            Verdict(
                check=DRIFT,
                outcome=Outcome.PASS,
                reason=f"{len(columns)} features lie as near to training as its own windows",
                evidence=evidence,
            )
        ]
    named = "; ".join(f"{name} {told['distance']:.3f} above {told['threshold']:.3f}" for name, told in drifted.items())
    reason = f"{len(drifted)} of {len(columns)} features lie away from training: {named}"
    return [Verdict(check=DRIFT, outcome=Outcome.FAIL, reason=reason, evidence=evidence)]


def _seconds(spec: ModelSpec, rows: pd.DataFrame) -> Floats:
    moments = rows[spec.data.event_time].dt.tz_convert(None).to_numpy(dtype="datetime64[us]")
    return np.asarray(moments.astype(np.int64) / 1e6, dtype=np.float64)


def _column(
    spec: ModelSpec, name: str, train: pd.Series, holdout: pd.Series, drawn: DrawnWindows, level: float
) -> dict[str, Any]:
    numeric = name in spec.features.read_numeric
    method = spec.drift_method(name)
    before, now = _numbers(train, holdout) if numeric else _codes(train, holdout)
    distance = _numeric_distance(method) if numeric else _categorical_distance(method, int(max(before.max(), now.max())) + 1)
    found = distance(before, now)
    null = np.array([_against_the_rest(distance, before, rows) for rows in drawn.rows])
    known = null[np.isfinite(null)]
    if not np.isfinite(found) or len(known) < len(null) / 2 or len(known) < 2:
        return {"distance": None, "threshold": None, "method": method, "drifted": False, "unknown": True}
    bar = null_threshold(known, level, independent_windows(null, drawn))
    threshold = max(spec.monitoring.drift.minimum_effect, bar)
    return {
        "distance": round(found, 6),
        "threshold": round(threshold, 6),
        "null": round(bar, 6),
        "method": method,
        "drifted": bool(found > threshold),
    }


def _against_the_rest(distance: Distance, values: Floats, window: Any) -> float:
    rest = np.ones(len(values), dtype=bool)
    rest[window] = False
    return distance(values[rest], values[window])


def _numbers(train: pd.Series, holdout: pd.Series) -> tuple[Floats, Floats]:
    first, second = (part.to_numpy(dtype=np.float64, na_value=np.nan) for part in (train, holdout))
    return first, second


def _codes(train: pd.Series, holdout: pd.Series) -> tuple[Floats, Floats]:
    import pandas as pd

    codes, _ = pd.factorize(pd.concat([train, holdout]).astype(object), use_na_sentinel=False)
    return codes[: len(train)].astype(np.float64), codes[len(train) :].astype(np.float64)


def _numeric_distance(method: str) -> Distance:
    return partial(numeric_distance, method)


def _categorical_distance(method: str, cells: int) -> Distance:
    def _measured(reference: Floats, window: Floats) -> float:
        left, right = (np.bincount(part.astype(np.intp), minlength=cells) for part in (reference, window))
        return CELL_DISTANCES[method](left, right)

    return _measured
