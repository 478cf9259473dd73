"""Gate on the time of one single-row prediction by the artefact that would serve, on the machine that evaluates."""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from include.lifecycle.evaluation.artefact import Served
from include.lifecycle.evaluation.judging import bounds, outcome_below, too_few
from include.lifecycle.registry.onnx_export import spread_rows
from include.lifecycle.registry.scoring import columns_of
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Interval, quantile_interval
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

LATENCY = "latency"
LEVEL = 0.95
WARM_UP = 5
MOST_SECONDS = 10.0  # a slow model is judged by the rows timed until then


def latency_gate(spec: ModelSpec, served: Served, holdout: pd.DataFrame) -> list[Verdict]:
    """The 95th percentile in milliseconds against `latency.p95`; the interval is that of order statistics."""
    rules = spec.evaluation.latency
    budget = rules.p95.total_seconds() * 1000
    taken = _timed(served, holdout.iloc[spread_rows(len(holdout), rules.rows)])
    interval = quantile_interval(taken, LEVEL, spec.evaluation.confidence)
    evidence: dict[str, Any] = {
        "act": rules.act,
        "limit_ms": budget,
        "rows": len(taken),
        "p50_ms": round(float(np.median(taken)), 4) if len(taken) else None,
        "p95_ms": interval.evidence(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        **served.evidence(),
    }
    if not interval.known:
        why = f"{len(taken)} single rows were timed; a bound of the 95th percentile needs more"
        if interval.lower > budget:
            return [_verdict(Outcome.FAIL, interval, budget, evidence)]
        return [too_few(LATENCY, why, evidence)]
    return [_verdict(outcome_below(interval, budget), interval, budget, evidence)]


def _verdict(outcome: Outcome, interval: Interval, budget: float, evidence: dict[str, Any]) -> Verdict:
    word = {Outcome.PASS: "is within", Outcome.FAIL: "is beyond", Outcome.INCONCLUSIVE: "is not clearly within"}[outcome]
    reason = f"95th percentile of one prediction {bounds(interval)} ms {word} {budget:g} ms ({evidence['engine']})"
    return Verdict(check=LATENCY, outcome=outcome, reason=reason, evidence=evidence)


def _timed(served: Served, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Milliseconds of each row's prediction (k,), after a few that warm up; stops after MOST_SECONDS."""
    asked = [columns_of(rows.iloc[[place]], served.serving) for place in range(len(rows))]
    for columns in asked[:WARM_UP]:
        served.engine.predict(columns, 1)
    taken: list[float] = []
    until = time.perf_counter() + MOST_SECONDS
    for columns in asked:
        started = time.perf_counter()
        served.engine.predict(columns, 1)
        taken.append((time.perf_counter() - started) * 1000)
        if time.perf_counter() > until:
            break
    return np.array(taken)
