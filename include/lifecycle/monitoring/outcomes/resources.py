"""Checks `resources:...`: what a version's servers used in a window, against `monitoring.resources`.

Latency comes from the prediction log; CPU, memory and errors from the model servers' metrics in Prometheus, over the wall time in
which the window's rows were logged. What Prometheus does not tell is inconclusive; a limit of null is not judged.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from include.lifecycle.errors import LifecycleError, SourceUnavailableError
from include.lifecycle.monitoring.kinds import RESOURCES
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.rollout.sources.prometheus import PrometheusSource
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

FEWEST_SECONDS = 60.0
"""Wall time below which scrapes are too few to tell anything."""
_STEP = 60  # seconds between the points of a quantile over time
_QUERIES = {
    # 95th percentile over the window of CPU seconds per second and worker: a busy hour in a quiet day counts
    "cpu": "quantile_over_time(0.95, (sum(rate(model_process_cpu_seconds_total{{{of}}}[5m])) / sum(model_workers{{{of}}}))"
    "[{range}s:{step}s] @ {until})",
    "memory": "quantile_over_time(0.95, (sum(model_process_memory_bytes{{{of}}}))[{range}s:{step}s] @ {until})",
    "error_rate": "sum(increase(model_errors_total{{{of}}}[{range}s] @ {until})) / "
    "(sum(increase(model_errors_total{{{of}}}[{range}s] @ {until})) + "
    "sum(increase(model_latency_ms_count{{{of}}}[{range}s] @ {until})))",
}

Usage = Callable[[str], float | None]
"""The number of "cpu" (fraction of its workers' cores), "memory" (bytes) or "error_rate"; None: not told. Or LifecycleError."""


@dataclass(frozen=True)
class PrometheusUsage:
    """Asks the Prometheus at `url` about one version between two wall times (epoch seconds). `down`: why it did not answer; one
    list for all that ask in one look, so that a host that hangs is waited for once."""

    url: str
    model: str
    version: int
    since: float
    until: float
    down: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> float | None:
        """See Usage."""
        seconds = int(self.until - self.since)
        of = f'model="{self.model}",version="{self.version}"'
        text = _QUERIES[name].format(of=of, range=seconds, step=min(_STEP, seconds), until=f"{self.until:.3f}")
        if self.down:
            raise SourceUnavailableError(self.down[0])
        try:
            return PrometheusSource(self.url).query(text) if seconds >= FEWEST_SECONDS else None
        except SourceUnavailableError as problem:
            self.down.append(str(problem))
            raise


def check_resources(spec: ModelSpec, window: Predictions, usage: Usage | None) -> list[Verdict]:
    """One verdict per limit that is set: `resources:cpu`, `memory`, `error_rate`, `latency_p95`. `usage` None: not asked."""
    limits, found = spec.monitoring.resources, []
    if limits.latency_p95 is not None:
        found.append(_latency(spec, window, limits.latency_p95.total_seconds() * 1e3))
    if usage is None or not window.rows:
        return found
    memory = limits.memory_limit or machine_memory()
    for name, limit, scale in (
        ("cpu", limits.cpu, 1.0),
        ("memory", limits.memory, float(memory)),
        ("error_rate", limits.error_rate, 1.0),
    ):
        if limit is not None:
            found.append(_told(usage, name, limit, scale))
    return found


def _told(usage: Usage, name: str, limit: float, scale: float) -> Verdict:
    try:
        value = usage(name)
    except LifecycleError as problem:
        return Verdict(check=f"{RESOURCES}:{name}", outcome=Outcome.INCONCLUSIVE, reason=str(problem)[:300])
    if value is None:
        reason = "Prometheus has no such series for this window, or the window was too short to be scraped"
        return Verdict(check=f"{RESOURCES}:{name}", outcome=Outcome.INCONCLUSIVE, reason=reason)
    more = {"bytes": value} if name == "memory" else {}
    return _judged(name, value / scale, limit, f"{value / scale:.1%} against a limit of {limit:.1%}", more)


def _latency(spec: ModelSpec, window: Predictions, limit: float) -> Verdict:
    known = window.latencies[np.isfinite(window.latencies)]
    if known.size < spec.monitoring.minimum_rows:
        reason = f"{known.size} rows with a latency; monitoring.minimum_rows asks for {spec.monitoring.minimum_rows}"
        return Verdict(check=f"{RESOURCES}:latency_p95", outcome=Outcome.INCONCLUSIVE, reason=reason)
    value = float(np.quantile(known, 0.95))
    return _judged("latency_p95", value, limit, f"{value:.1f} ms against a limit of {limit:.1f} ms", {"rows": int(known.size)})


def _judged(name: str, value: float, limit: float, words: str, more: dict[str, Any]) -> Verdict:
    evidence = {"value": value, "threshold": limit, "effect": max(value / limit - 1, 0.0) if limit else value, "measure": name}
    outcome = Outcome.FAIL if value > limit else Outcome.PASS
    told = evidence | more | {"severity": "warn"}
    return Verdict(check=f"{RESOURCES}:{name}", outcome=outcome, reason=f"{name} {words}", evidence=told)


def machine_memory() -> int:
    """Bytes of memory of the machine that monitoring runs on."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
