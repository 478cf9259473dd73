"""Serving one row: our server beside `mlflow models serve` on the same model; what the gateway and the prediction log add."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from benchmarks.harness import Bench, Claim, in_child, median
from benchmarks.served import (
    PATH,
    Running,
    build,
    gateway,
    mlflow_server,
    our_body,
    our_server,
    their_body,
)

SIZES = {"clients": 8, "seconds": 8, "trees": 100}
TINY = {"clients": 2, "seconds": 1, "trees": 5}
FASTER = 20.0  # times the requests per second of MLflow's server
GATEWAY_MS, LOG_MS = 0.1, 0.1  # CPU per request
_CLOSE = 1e-5  # of two probabilities for the same row
_WARM_SECONDS = 1


def run(bench: Bench) -> list[Claim]:
    """All servers up at once, each asked in turn; the others are idle meanwhile."""
    digest = build(bench.folder, bench.sizes["trees"])
    with (
        our_server(bench.folder, digest) as ours,
        our_server(bench.folder, digest, logged=False) as unlogged,
        mlflow_server(bench.folder) as theirs,
        gateway(bench.folder, ours, digest) as envoy,
    ):
        difference = abs(_answer(ours.port, PATH, our_body()) - _answer(theirs.port, "/invocations", their_body()))
        if difference > _CLOSE:
            raise RuntimeError(f"the two servers differ by {difference} on the same row; no comparison")
        sides = {
            "ours": lambda: _load(bench, ours, PATH, our_body()),
            "mlflow": lambda: _load(bench, theirs, "/invocations", their_body()),
            "unlogged": lambda: _load(bench, unlogged, PATH, our_body()),
            "gateway": lambda: _load(bench, envoy, PATH, our_body()),
        }
        found = bench.interleaved(sides)
    return _claims(found)


def _claims(found: dict[str, list[dict[str, Any]]]) -> list[Claim]:
    rate = {side: median(rows, "per_second") for side, rows in found.items()}
    cpu = {side: median(rows, "cpu_ms") for side, rows in found.items()}
    both = {side: found[side] for side in ("ours", "mlflow")}
    logs = {side: found[side] for side in ("ours", "unlogged")}
    added = cpu["ours"] - cpu["unlogged"]
    return [
        Claim(
            "serving_rate", rate["ours"], rate["mlflow"], "/s", rate["ours"] / rate["mlflow"], FASTER, "at_least", {"runs": both}
        ),
        Claim(
            "gateway_cpu", cpu["gateway"], None, "ms", cpu["gateway"], GATEWAY_MS, "at_most", {"runs": {"ours": found["gateway"]}}
        ),
        Claim("prediction_log_cpu", cpu["ours"], cpu["unlogged"], "ms", added, LOG_MS, "at_most", {"runs": logs}),
    ]


def _load(bench: Bench, server: Running, path: str, body: str) -> dict[str, Any]:
    """Warm up, then count: rate, latencies, and the CPU that this server's own processes took per request."""
    told = {"port": server.port, "path": path, "body": body, "clients": bench.sizes["clients"]}
    in_child("benchmarks.load:ask", told | {"seconds": _WARM_SECONDS})
    before = server.cpu_seconds()
    found = in_child("benchmarks.load:ask", told | {"seconds": bench.sizes["seconds"]})
    cpu = server.cpu_seconds() - before
    if found["failed"] or not found["requests"]:
        raise RuntimeError(f"{found['failed']} requests failed, {found['requests']} were answered, on port {server.port}")
    kept = {key: found[key] for key in ("requests", "per_second", "p50_ms", "p95_ms", "p99_ms")}
    return kept | {"cpu_ms": 1000 * cpu / found["requests"], "resident_mb": server.resident_mb()}


def _answer(port: int, path: str, body: str) -> float:
    """P(target = 1) of the one row."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        told = json.load(response)
    return float(told["outputs"][0]["data"][0] if "outputs" in told else told["predictions"][0][1])
