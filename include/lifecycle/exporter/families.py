"""Families of samples for one scrape: each metric's name, text and labels stand once, where its first sample is added."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class Families(Collector):
    """Collects samples; what is None or not finite is left out, since a metric that is not known is absent, never 0."""

    def __init__(self) -> None:
        self._known: dict[str, Metric] = {}

    def gauge(self, name: str, text: str, value: float | None, **labels: Any) -> None:
        """Add one sample of a gauge."""
        self._add(GaugeMetricFamily, name, text, value, labels)

    def counter(self, name: str, text: str, value: float | None, **labels: Any) -> None:
        """Add one sample of a counter, whose name ends with `_total`."""
        self._add(CounterMetricFamily, name, text, value, labels)

    def take(self, metric: Metric) -> None:
        """Add a whole family that somebody else made."""
        self._known[metric.name] = metric

    def collect(self) -> Iterable[Metric]:
        """All families, as prometheus_client asks for them."""
        return list(self._known.values())

    def exposition(self) -> bytes:
        """The text format of Prometheus."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def _add(self, kind: Any, name: str, text: str, value: float | None, labels: Mapping[str, Any]) -> None:
        if value is None or not math.isfinite(value):
            return
        if name not in self._known:
            self._known[name] = kind(name, text, labels=tuple(labels))
        family: Any = self._known[name]
        family.add_metric([str(label) for label in labels.values()], float(value))
