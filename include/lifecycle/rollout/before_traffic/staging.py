"""Staging: the version's own server, started for the rollout and not yet reachable by clients, is tested before any traffic.

Health, refusal of bad input, health again, and the inference time of one row on this very hardware; serving_check.py calls it
after the golden answers were compared. Requests carry PROBE_PREFIX, so that nobody takes them for traffic.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.sections.staging import StagingSection
from include.lifecycle.units import format_duration
from include.lifecycle.verdicts import Outcome, Verdict
from include.serving.log_schema import PROBE_PREFIX

HEALTH, BAD_INPUT, LATENCY = "health", "bad_input", "inference_time"
_NUMBER_TYPES = ("FP64", "FP32", "INT64", "INT32")
_PATIENCE = 10.0  # seconds of wall time for one answer
Json = dict[str, Any]


def staging_tests(port: int, model: str, version: int, inputs: Json, rules: StagingSection) -> list[Verdict]:
    """Ask the server on this loopback port; `inputs` is a good request's body (the golden one).

    Raises SourceUnavailableError when the server does not answer at all: the task is tried again.
    """
    base = f"http://127.0.0.1:{port}/v2"
    infer = f"{base}/models/{model}/versions/{version}/infer"
    health = [f"{base}/health/live", f"{base}/health/ready", f"{base}/models/{model}/versions/{version}/ready"]
    return [_healthy(health), _refuses(infer, inputs, health[1]), _fast(infer, inputs, rules)]


def bad_requests(inputs: Json) -> Iterator[tuple[str, bytes]]:
    """Requests that no model may answer, each with what is wrong with it."""
    tensors = inputs["inputs"]
    yield "no JSON", b"{"
    yield "no inputs", json.dumps(inputs | {"inputs": []}).encode()
    if len(tensors) > 1:
        yield f"input {tensors[-1]['name']!r} left out", json.dumps(inputs | {"inputs": tensors[:-1]}).encode()
    for place, tensor in enumerate(tensors):
        if tensor["datatype"] in _NUMBER_TYPES:
            wrong = [*tensors[:place], tensor | {"data": ["text"] * len(tensor["data"])}, *tensors[place + 1 :]]
            yield f"text for the number {tensor['name']!r}", json.dumps(inputs | {"inputs": wrong}).encode()
            break


def _healthy(addresses: list[str]) -> Verdict:
    found = {address.partition("/v2")[2]: _status(address) for address in addresses}
    sick = {path: code for path, code in found.items() if code != 200}
    told = ", ".join(f"{path} answered {code}" for path, code in sick.items()) or f"{len(found)} health checks answered 200"
    return _verdict(HEALTH, not sick, told, {"status": found})


def _refuses(infer: str, inputs: Json, ready: str) -> Verdict:
    """Each bad request must be answered by a 4xx, and the server must be well afterwards."""
    found = {what: _status(infer, body, f"bad-{number}") for number, (what, body) in enumerate(bad_requests(inputs))}
    wrong = [f"{what}: {code}" for what, code in found.items() if not 400 <= code < 500]
    if (after := _status(ready)) != 200:
        wrong.append(f"readiness after them: {after}")
    told = f"not refused as they should be: {'; '.join(wrong)}" if wrong else f"{len(found)} bad requests refused"
    return _verdict(BAD_INPUT, not wrong, told, {"status": found})


def _fast(infer: str, inputs: Json, rules: StagingSection) -> Verdict:
    """The p95 of single rows, one after the other, within the budget. What they are answered the golden comparison has judged."""
    row = json.dumps(inputs | {"inputs": [_first(tensor) for tensor in inputs["inputs"]]}).encode()
    took, failed = [], 0
    for number in range(rules.requests):
        begin = time.perf_counter()
        failed += _status(infer, row, f"timed-{number}") != 200
        took.append((time.perf_counter() - begin) * 1000)
    p95, budget = float(np.percentile(took, 95)), rules.latency_budget.total_seconds() * 1000
    told = f"p95 {p95:.2f} ms over {rules.requests} requests of one row, budget {format_duration(rules.latency_budget)}"
    evidence = {"p95_ms": p95, "p50_ms": float(np.median(took)), "requests": rules.requests, "failed": failed}
    return _verdict(LATENCY, p95 <= budget and not failed, told + (f"; {failed} failed" if failed else ""), evidence)


def _first(tensor: Json) -> Json:
    return tensor | {"shape": [1, *tensor["shape"][1:]], "data": tensor["data"][:1]}


def _status(url: str, body: bytes | None = None, name: str = "") -> int:
    """The status that the server answers; SourceUnavailableError when it does not answer."""
    headers = {"content-type": "application/json", "x-request-id": f"{PROBE_PREFIX}{name}-{time.time_ns()}"}
    request = Request(url, body, headers)  # noqa: S310 - loopback
    try:
        with urlopen(request, timeout=_PATIENCE) as response:  # noqa: S310 - loopback
            response.read()
            return int(response.status)
    except HTTPError as refusal:
        refusal.read()
        return int(refusal.code)
    except (URLError, OSError) as problem:
        raise SourceUnavailableError(f"{url} did not answer a test before traffic: {problem}") from problem


def _verdict(check: str, good: bool, reason: str, evidence: Json) -> Verdict:
    return Verdict(check=check, outcome=Outcome.PASS if good else Outcome.FAIL, reason=reason, evidence=evidence)
