"""A model server with the real one's arguments and its real prediction log, whose folder says how often it is right.

`{"version": 8, "right": 0.9}`: the truth of a key and whether the version knows it follow from the key, so that a better version
is right wherever a worse one is. The body of a request is `{"key": ..., "at": ISO time}`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import signal
from datetime import UTC, datetime
from pathlib import Path

from include.serving.outputs import Predicted
from include.serving.prediction_log import Answer, LogLimits, PredictionLog, unit_of


def draw(text):
    """A number in [0, 1) that follows from the text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest()) / 2**48


def truth(key):
    """Whether what the key stands for comes true."""
    return draw(f"truth {key}") < 0.5


def score(key, right):
    """The probability that a version says which is right so often."""
    knows = draw(f"skill {key}") < right
    return 0.9 if truth(key) == knows else 0.1


async def _serve(reader, writer, behaviour, log):
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            writer.close()
            return
        lines = [line.partition(":") for line in head.split("\r\n")[1:]]
        headers = {name.strip().lower(): value.strip() for name, _, value in lines if name}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if " /v2/health/" not in head:
            _log(log, headers, json.loads(body), behaviour)
        answer = json.dumps({"version": behaviour["version"]}).encode()
        told = f"content-length: {len(answer)}\r\nx-model-version: {behaviour['version']}\r\n\r\n"
        writer.write(f"HTTP/1.1 200 OK\r\n{told}".encode() + answer)
        await writer.drain()


def _log(log, headers, asked, behaviour):
    assigned, unit = headers.get("x-modelops-assigned"), headers.get("x-modelops-unit")
    answer = Answer(
        request_id=headers["x-request-id"],
        assigned_version=int(assigned) if assigned else None,
        logged_at=datetime.now(UTC),
        latency_ms=behaviour.get("ms", 1.0),
        columns={"carrier": ["AA"]},
        predicted=Predicted([score(asked["key"], behaviour["right"])]),
        keys=[asked["key"]],
        event_times=[asked["at"]],
        arm=headers.get("x-modelops-arm", "live"),
        unit=unit_of(unit) if unit else None,
    )
    log.append(answer)


async def _run(port, behaviour, log):
    await asyncio.start_server(lambda reader, writer: _serve(reader, writer, behaviour, log), "127.0.0.1", port)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--log-dir", type=Path)
    options = parser.parse_known_args()[0]
    told = json.loads((options.directory / "behaviour.json").read_text())
    kept = PredictionLog(options.log_dir, told["version"], lambda _: None, LogLimits(flush_seconds=0.02))
    try:
        asyncio.run(_run(options.port, told, kept))
    finally:
        kept.close()
