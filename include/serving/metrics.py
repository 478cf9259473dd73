"""The server's numbers for Prometheus, under the names that dashboards and alert rules use; labels are model and version.

With several workers (PROMETHEUS_MULTIPROC_DIR is set before this is imported) each keeps its own in a file of that folder, and
any of them answers with the sum: a worker that died leaves its counts.
"""

from __future__ import annotations

import os
import resource
import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, Summary, generate_latest
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector

from include.serving.outputs import MULTICLASS, Predicted
from include.serving.version_folder import ServingSpec

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_MILLISECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000)
_SHARES = tuple(step / 20 for step in range(1, 21))
_LABELS = ("model", "version")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")


class BatchHistogram(Histogram):
    """A histogram that takes a request's rows at once: the lock of a bucket is taken once per request, not per row."""

    def observe_all(self, values: Sequence[float]) -> None:
        """Count each value in its bucket."""
        if len(values) == 1:
            self.observe(values[0])
            return
        self._sum.inc(sum(values))
        for bucket, count in Tally(bisect_left(self._upper_bounds, value) for value in values).items():
            self._buckets[bucket].inc(count)


class BatchSummary(Summary):
    """The same for what has no bounds to count by: sum and count."""

    def observe_all(self, values: Sequence[float]) -> None:
        """Add the values."""
        self._sum.inc(sum(values))
        self._count.inc(len(values))


class ServerMetrics:
    """One version's counters, bound to their labels once (but where a column, a client or a status code varies)."""

    def __init__(self, spec: ServingSpec, digest: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a time of creation per series would double the exposition
        self.registry = CollectorRegistry()
        self._own = (spec.model, str(spec.version))
        self._many = MULTIPROCESS in os.environ
        self._count_answers(spec)
        self._count_refusals()
        self._watch_process()
        info = self._gauge_family("model_info", "The version that is served", "livemax", ("engine", "digest"))
        info.labels(*self._own, spec.engine, digest).set(1)

    def _count_answers(self, spec: ServingSpec) -> None:
        self.predictions = self._counter("model_predictions_total", "Rows answered")
        self.log_dropped = self._counter("model_prediction_log_dropped_total", "Rows that the prediction log could not keep")
        text = "From the whole request to its answer, with its wait in the queue"
        self.latency = Histogram("model_latency_ms", text, _LABELS, buckets=_MILLISECONDS, registry=self.registry).labels(
            *self._own
        )
        text = "The model's own computation for one request, without waiting, parsing and rendering"
        self.inference = Histogram(
            "model_inference_time_seconds", text, _LABELS, buckets=_SECONDS, registry=self.registry
        ).labels(*self._own)
        self._unknown = self._family("model_unknown_categories_total", "Values that training never saw", "column")
        self._clients = self._family(
            "model_client_requests_total", "Requests answered, by the client whose key they carried", "client"
        )
        self._of_client: dict[str, Counter] = {}
        self._scores = self._score_metric(spec)

    def _count_refusals(self) -> None:
        self.errors = self._counter("model_errors_total", "Requests that failed through the server's fault (5xx)")
        self._rejected = self._family("model_rejected_requests_total", "Requests refused (4xx, or 503: too many wait)", "code")
        text = "Requests without a good API key; client is empty where it is not known"
        self._denied = self._family("model_auth_failures_total", text, "client", "code")

    def _watch_process(self) -> None:
        """What the whole server uses; with several workers the sum over them."""
        self._cpu = self._counter("model_process_cpu_seconds_total", "CPU seconds of the server's processes")
        self._memory = self._gauge("model_process_memory_bytes", "Resident memory of the server's processes", "livesum")
        self._waiting = self._gauge("model_waiting_requests", "Requests that wait or are computed", "livesum")
        self.ready = self._gauge("model_ready", "1 while the version takes requests, 0 while the server drains", "livemin")
        self.startup = self._gauge("model_startup_seconds", "From the process's start until it could answer", "livemax")
        self._gauge("model_workers", "Processes that answer", "livesum").set(1)
        self._cpu_seen = 0.0
        if not self._many:
            ProcessCollector(registry=self.registry)

    def _score_metric(self, spec: ServingSpec) -> BatchHistogram | BatchSummary:
        """Of classifiers a histogram of the probability that is answered; of regression, whose range is open, sum and count."""
        name = "model_prediction_score"
        if spec.task == "regression":
            return BatchSummary(name, "Predictions", _LABELS, registry=self.registry).labels(*self._own)
        text = "P(most probable class) of each row" if spec.task == MULTICLASS else "P(target = 1) of each row"
        return BatchHistogram(name, text, _LABELS, buckets=_SHARES, registry=self.registry).labels(*self._own)

    def _family(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, (*_LABELS, *labels), registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return self._family(name, text).labels(*self._own)

    def _gauge_family(self, name: str, text: str, mode: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, (*_LABELS, *labels), registry=self.registry, multiprocess_mode=mode)  # type: ignore[arg-type]

    def _gauge(self, name: str, text: str, mode: str) -> Gauge:
        return self._gauge_family(name, text, mode).labels(*self._own)

    def answered(self, rows: int, found: Predicted) -> None:
        """Count one request's rows and their scores."""
        self.predictions.inc(rows)
        self._scores.observe_all([max(shares) for shares in found.probabilities] if found.probabilities else found.values)

    def answered_to(self, client: str) -> None:
        """Count one answered request of a client with a key."""
        counter = self._of_client.get(client)
        if counter is None:
            counter = self._of_client[client] = self._clients.labels(*self._own, client)
        counter.inc()

    def rejected(self, status: int) -> None:
        """Count one refused request; one that was refused for want of room is the server's fault, too."""
        self._rejected.labels(*self._own, str(status)).inc()
        if status >= 500:
            self.errors.inc()

    def denied(self, client: str, status: int) -> None:
        """Count one request without a good key."""
        self._denied.labels(*self._own, client, str(status)).inc()

    def unknown(self, column: str, values: int) -> None:
        """Count values of a categorical column that training never saw."""
        self._unknown.labels(*self._own, column).inc(values)

    def refresh(self, waiting: int) -> None:
        """Take this process's CPU, memory and queue; called about once a second, and before it answers with the metrics."""
        used = time.process_time()
        self._cpu.inc(max(0.0, used - self._cpu_seen))
        self._cpu_seen = used
        self._waiting.set(waiting)
        self._memory.set(_resident_bytes())

    def exposition(self) -> bytes:
        """The text format of Prometheus, over all workers."""
        if not self._many:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    except OSError:  # no Linux: the peak is what there is
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
