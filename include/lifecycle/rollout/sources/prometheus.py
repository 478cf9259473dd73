"""The user's own metrics: PromQL over HTTP, one number per query, read every so often while a rollout is open."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from include.lifecycle.errors import SourceQueryError, SourceUnavailableError
from include.lifecycle.rollout.judging.metric_checks import breaks
from include.lifecycle.rollout.judging.source_evidence import MetricEvidence
from include.lifecycle.rollout.sources.base import Look
from include.lifecycle.sections.rollout_metrics import MetricSection

_TIMEOUT = 2.0  # seconds; a look waits no longer for each query
_TOLD = 200  # characters of an answer that nobody expected


@dataclass(frozen=True)
class PrometheusSource:
    """Asks the server at `url` (http://host:port)."""

    url: str
    name: str = "prometheus"

    def read(self, look: Look) -> dict[str, Any]:
        """`metrics`: a new reading of each that is due. What cannot be read has no value and says why; it never passes."""
        found = dict(look.before.metrics)
        for metric in look.plan.metrics:
            last = found.get(metric.name)
            if look.due(None if last is None else last.at, metric.every.total_seconds()):
                found[metric.name] = self._reading(metric, last, look)
        return {"metrics": found} if look.plan.metrics else {}

    def _reading(self, metric: MetricSection, last: MetricEvidence | None, look: Look) -> MetricEvidence:
        readings, broken = (0, 0) if last is None else (last.readings, last.broken)
        try:
            value = self.query(metric.filled(look.plan.model, look.plan.version, look.plan.champion))
        except (SourceUnavailableError, SourceQueryError) as problem:
            return MetricEvidence(at=look.now, readings=readings, broken=broken, problem=str(problem))
        if value is None:
            return MetricEvidence(at=look.now, readings=readings, broken=broken, problem="the query gives no value")
        in_a_row = broken + 1 if breaks(metric, value) else 0
        return MetricEvidence(at=look.now, value=value, readings=readings + 1, broken=in_a_row)

    def query(self, text: str) -> float | None:
        """The number that a PromQL expression gives now; None when it gives none (no series, NaN, infinite).

        Raises SourceUnavailableError when Prometheus does not answer, or answers what is none of its query API's answers;
        SourceQueryError when it refuses the query or it gives more than one series.
        """
        answer = self._ask(f"{self.url}/api/v1/query?{urlencode({'query': text, 'timeout': f'{_TIMEOUT:g}s'})}", text)
        try:
            kind, result = answer["data"]["resultType"], answer["data"]["result"]
            if kind == "scalar":
                return _number(result)
            if kind == "vector" and len(result) <= 1:
                return _number(result[0]["value"]) if result else None
            got = f"{len(result)} series" if kind == "vector" else kind
        except (LookupError, TypeError, ValueError) as problem:
            told = f"answered {json.dumps(answer)[:_TOLD]}, which is no answer of its query API"
            raise SourceUnavailableError(f"Prometheus at {self.url} {told}") from problem
        raise SourceQueryError(f"query {text!r} gives {got}; one number is wanted")

    def _ask(self, address: str, text: str) -> Any:
        try:
            with urlopen(address, timeout=_TIMEOUT) as response:  # noqa: S310 - the address stands in the settings
                return json.loads(response.read())
        except HTTPError as problem:
            if problem.code >= 500:  # it starts, or the query took too long
                raise SourceUnavailableError(f"Prometheus at {self.url} did not answer: {_told(problem)}") from problem
            raise SourceQueryError(f"query {text!r} was refused by {self.url}: {_told(problem)}") from problem
        except (URLError, OSError, HTTPException, ValueError) as problem:
            raise SourceUnavailableError(f"Prometheus at {self.url} did not answer: {problem}") from problem


def _number(sample: Any) -> float | None:
    value = float(sample[1])
    return value if math.isfinite(value) else None


def _told(problem: HTTPError) -> str:
    try:
        return str(json.loads(problem.read())["error"])
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return str(problem)
