"""Requests that a rollout itself sends to a server before any client does: golden ones with known answers, and timed ones.

They go past the gateway and carry PROBE_PREFIX, so that nobody takes them for traffic.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np

from include.lifecycle.errors import GateFailedError, SourceUnavailableError
from include.lifecycle.rollout.before_traffic.key_file import probe_headers
from include.lifecycle.verdicts import Outcome, Verdict
from include.serving.log_schema import PROBE_PREFIX
from include.serving.version_folder import GOLDEN
from include.settings import settings

CHECK = "serving"
TIMED_REQUESTS = 100
Json = dict[str, Any]


def infer_url(port: int, model: str, version: int) -> str:
    """Address under which the server on this loopback port answers for its version."""
    return f"http://127.0.0.1:{port}/v2/models/{model}/versions/{version}/infer"


def read_golden(folder: Path) -> Json:
    """Content of a version's golden.json: `inputs`, `output`, `predictions`, `tolerance`."""
    return dict(json.loads((folder / GOLDEN).read_text(encoding="utf-8")))


def compare_golden(url: str, golden: Json) -> Verdict:
    """Whether the server at `url` gives golden's predictions within its absolute tolerance."""
    answer = _ask(url, request_body(golden), "golden")
    output = golden.get("output", "prediction")  # golden files from before other tasks were served do not name it
    given: list[float] = next((one["data"] for one in answer["outputs"] if one["name"] == output), [])
    wanted, rows = golden["predictions"], int(request_body(golden)["inputs"][0]["shape"][0])
    if len(given) != len(wanted):
        return verdict_of(Outcome.FAIL, f"{len(given)} numbers in {output!r} for {rows} golden rows; {len(wanted)} are expected")
    distance = float(np.max(np.abs(np.asarray(given, dtype=float) - np.asarray(wanted, dtype=float)), initial=0.0))
    tolerance = float(golden["tolerance"])
    outcome = Outcome.PASS if distance <= tolerance else Outcome.FAIL
    reason = f"{rows} golden rows, largest difference {distance:.3g}, tolerance {tolerance:g}"
    return verdict_of(outcome, reason, {"rows": rows, "difference": distance, "tolerance": tolerance})


def p95_ms(url: str, golden: Json) -> float:
    """95th percentile of the milliseconds that TIMED_REQUESTS requests of one golden row took, one after the other."""
    body, took = _one_row(request_body(golden)), []
    for number in range(TIMED_REQUESTS):
        begin = time.perf_counter()
        _ask(url, body, f"timed-{number}")
        took.append((time.perf_counter() - begin) * 1000)
    return float(np.percentile(took, 95))


def warm_up(url: str, folder: Path) -> None:
    """Ask a server what a serving check asks, so that both arms have seen as much when the traffic comes.

    Nothing happens when the version has no golden requests.
    """
    if (folder / GOLDEN).is_file():
        golden = read_golden(folder)
        compare_golden(url, golden)
        p95_ms(url, golden)


def verdict_of(outcome: Outcome, reason: str, evidence: Json | None = None) -> Verdict:
    """A verdict of the serving check."""
    return Verdict(check=CHECK, outcome=outcome, reason=reason, evidence=evidence or {})


def _ask(url: str, body: Json, name: str) -> Json:
    identity = {"content-type": "application/json", "x-request-id": f"{PROBE_PREFIX}{name}-{time.time_ns()}"}
    headers = identity | probe_headers(settings())
    request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - loopback
    try:
        with urlopen(request, timeout=10) as response:  # noqa: S310 - loopback
            return dict(json.load(response))
    except HTTPError as problem:
        text = problem.read().decode(errors="replace")[:300]
        raise GateFailedError(f"{url} answered {problem.code} to a golden request: {text}") from problem
    except (URLError, OSError) as problem:
        raise SourceUnavailableError(f"{url} did not answer a golden request: {problem}") from problem


def request_body(golden: Json) -> Json:
    """The body of the request that asks every golden row."""
    return dict(golden["inputs"]) if isinstance(golden["inputs"], dict) else {"inputs": golden["inputs"]}


def _one_row(body: Json) -> Json:
    tensors = [one | {"shape": [1, *one["shape"][1:]], "data": one["data"][:1]} for one in body["inputs"]]
    return body | {"inputs": tensors}
