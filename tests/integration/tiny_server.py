"""A model server with the real one's arguments; its folder says how it behaves.

`{"fail": share, "delay_ms": n, "hang": true, "refuse": true, "sick_after": seconds, "refuse_after": seconds, "record": true}`.
From the moment that a file `broken.json` lies there, its content holds, too. Recorded requests stand in `seen-<port>.jsonl`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from pathlib import Path

STARTED = time.monotonic()
TOLD = ("x-request-id", "x-modelops-assigned", "x-modelops-arm", "x-modelops-unit", "host")


class Behaviour:
    """What `behaviour.json` and `broken.json` say now."""

    def __init__(self, folder):
        self._broken, self._told = folder / "broken.json", json.loads((folder / "behaviour.json").read_text())

    def get(self, name, otherwise=None):
        now = self._told | (json.loads(self._broken.read_text()) if self._broken.exists() else {})
        return now.get(name, otherwise)


async def _answer(reader, writer, behaviour, seen):
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            writer.close()
            return
        lines = [line.partition(":") for line in head.split("\r\n")[1:]]
        headers = {name.strip().lower(): value.strip() for name, _, value in lines if name}
        await reader.readexactly(int(headers.get("content-length", 0)))
        health, version = " /v2/health/" in head, behaviour.get("version")
        if not health:
            if seen is not None:
                seen.write(json.dumps({name: headers.get(name) for name in TOLD}) + "\n")
            await asyncio.sleep(3600 if behaviour.get("hang") else behaviour.get("delay_ms", 0) / 1000)
        sick = time.monotonic() - STARTED > behaviour.get("sick_after", float("inf"))
        failed = sick if health else random.random() < behaviour.get("fail", 0)
        body = json.dumps({"version": version}).encode()
        status = "500 Broken" if failed else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nx-model-version: {version}\r\n\r\n".encode() + body)
        await writer.drain()


async def _serve(port, behaviour, seen):
    writers = set()

    def accept(reader, writer):
        writers.add(writer)
        return _answer(reader, writer, behaviour, seen)

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    while not behaviour.get("refuse") and time.monotonic() - STARTED < behaviour.get("refuse_after", float("inf")):
        await asyncio.sleep(0.02)
    server.close()
    for writer in writers:
        writer.close()
    await asyncio.sleep(10**6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--port", type=int)
    options = parser.parse_known_args()[0]
    told = Behaviour(options.directory)
    kept = (options.directory / f"seen-{options.port}.jsonl").open("a", buffering=1) if told.get("record") else None
    asyncio.run(_serve(options.port, told, kept))
