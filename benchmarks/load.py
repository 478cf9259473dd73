"""Clients that ask one HTTP server without pause, in a process of their own: `in_child("benchmarks.load:ask", ...)`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

_ENOUGH = 5  # failed requests in a row end a client


def ask(port: int, path: str, body: str, clients: int, seconds: float) -> dict[str, Any]:
    """Post `body` from `clients` connections for `seconds`; requests per second, percentiles in ms, failed requests."""
    import numpy as np
    import uvloop

    request = _request(path, body.encode())
    took, failed, elapsed = uvloop.run(_all(port, request, clients, seconds))
    percentiles = np.percentile(np.asarray(took) * 1000, [50, 95, 99]) if took else [float("nan")] * 3
    told = dict(zip(("p50_ms", "p95_ms", "p99_ms"), map(float, percentiles), strict=True))
    return {"requests": len(took), "failed": failed, "per_second": len(took) / elapsed} | told


def _request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _all(port: int, request: bytes, clients: int, seconds: float) -> tuple[list[float], int, float]:
    began = time.perf_counter()
    found = await asyncio.gather(*(_client(port, request, began + seconds) for _ in range(clients)))
    elapsed = time.perf_counter() - began
    return [one for took, _ in found for one in took], sum(failed for _, failed in found), elapsed


async def _client(port: int, request: bytes, until: float) -> tuple[list[float], int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took: list[float] = []
    failed = 0
    while (began := time.perf_counter()) < until and failed < _ENOUGH:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        if head[9:12] == b"200":
            took.append(time.perf_counter() - began)
        else:
            failed += 1
    writer.close()
    return took, failed
