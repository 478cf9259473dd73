"""The plain numbers of a window beside its performance, for table `windows`: speed, traffic, labels, resources, business."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from include.lifecycle.monitoring.kinds import BUSINESS, RESOURCES
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.outcomes.label_flow import keyed_rows
from include.lifecycle.monitoring.outcomes.outside import Outside
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.verdicts import Verdict

_LEVELS = {"latency_ms_p50": 0.5, "latency_ms_p95": 0.95, "latency_ms_p99": 0.99}


def latency_numbers(window: Predictions) -> dict[str, float]:
    """Quantiles of the version's latencies (ms), and its rows per second of event time; unknown latencies are left out."""
    known = window.latencies[np.isfinite(window.latencies)]
    speed = {"rows_per_second": window.total / window.window.length.total_seconds()}
    return speed | ({name: float(np.quantile(known, level)) for name, level in _LEVELS.items()} if known.size else {})


def numbers_beside(
    window: Predictions, labelled: Labelled, outside: Outside | None, verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    """`labels` (rows with a key, with a mature label; and of the label rows how many were odd), `traffic` (rows of all versions),
    `resources` and `business` (each number by name, from their verdicts)."""
    found: dict[str, Any] = {"labels": {"keyed_rows": keyed_rows(window.keys), "labelled_rows": int(labelled.labels.size)}}
    if outside is not None:
        found["traffic"] = {"rows": outside.rows}
        if flow := outside.flow:
            odd = {"skewed": flow.skewed, "conflicting": flow.conflicting, "repeated": flow.repeated, "unknown": flow.unknown}
            found["labels"] |= {"label_rows": flow.rows} | odd
    for kind in (RESOURCES, BUSINESS):
        if values := _values(kind, verdicts):
            found[kind] = values
    return found


def _values(kind: str, verdicts: Sequence[Verdict]) -> dict[str, float]:
    of = [verdict for verdict in verdicts if verdict.check.startswith(f"{kind}:") and "value" in verdict.evidence]
    return {verdict.check.partition(":")[2]: float(verdict.evidence["value"]) for verdict in of}
