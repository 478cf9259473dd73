"""The server's numbers for Prometheus, under the names that dashboards and alert rules use; labels are model and version."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from include.serving.version_folder import ServingSpec

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_LABELS = ("model", "version")


class ServerMetrics:
    """One version's counters, bound to their labels once (but where a column or a status code varies)."""

    def __init__(self, spec: ServingSpec, digest: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._own = (spec.model, str(spec.version))
        self.predictions = self._counter("model_predictions_total", "Rows answered")
        self.errors = self._counter("model_errors_total", "Requests that failed through the server's fault (5xx)")
        self.log_dropped = self._counter("model_prediction_log_dropped_total", "Rows that the prediction log could not keep")
        self._rejected = Counter(
            "model_rejected_requests_total", "Requests refused as wrong (4xx)", (*_LABELS, "code"), registry=self.registry
        )
        self._unknown = Counter(
            "model_unknown_categories_total", "Values that training never saw", (*_LABELS, "column"), registry=self.registry
        )
        self.seconds = Histogram(
            "model_inference_time_seconds",
            "From the whole request to its answer",
            _LABELS,
            buckets=_BUCKETS,
            registry=self.registry,
        ).labels(*self._own)
        info = Gauge("model_info", "The version that is served", (*_LABELS, "engine", "digest"), registry=self.registry)
        info.labels(*self._own, spec.engine, digest).set(1)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, _LABELS, registry=self.registry).labels(*self._own)

    def rejected(self, status: int) -> None:
        """Count one refused request."""
        self._rejected.labels(*self._own, str(status)).inc()

    def unknown(self, column: str, values: int) -> None:
        """Count values of a categorical column that training never saw."""
        self._unknown.labels(*self._own, column).inc(values)

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)
