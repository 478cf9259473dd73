"""A model server with the real one's arguments; its folder says how it behaves.

`{"fail": share, "delay_ms": n, "hang": true, "sick_after": seconds, "refuse_after": seconds, "record": true}`; recorded requests
stand in `seen-<port>.jsonl` beside the behaviour.
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
        health = " /v2/health/" in head
        if not health:
            if seen is not None:
                seen.write(json.dumps({name: headers.get(name) for name in TOLD}) + "\n")
            await asyncio.sleep(3600 if behaviour.get("hang") else behaviour.get("delay_ms", 0) / 1000)
        sick = time.monotonic() - STARTED > behaviour.get("sick_after", float("inf"))
        failed = sick if health else random.random() < behaviour.get("fail", 0)
        body = json.dumps({"version": behaviour["version"]}).encode()
        status = "500 Broken" if failed else "200 OK"
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nx-model-version: {behaviour['version']}\r\n\r\n".encode() + body
        )
        await writer.drain()


async def _serve(port, behaviour, seen):
    writers = set()

    def accept(reader, writer):
        writers.add(writer)
        return _answer(reader, writer, behaviour, seen)

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    await asyncio.sleep(behaviour.get("refuse_after", 10**6))
    server.close()
    for writer in writers:
        writer.close()
    await asyncio.sleep(10**6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--port", type=int)
    options = parser.parse_known_args()[0]
    told = json.loads((options.directory / "behaviour.json").read_text())
    kept = (options.directory / f"seen-{options.port}.jsonl").open("a", buffering=1) if told.get("record") else None
    asyncio.run(_serve(options.port, told, kept))
