"""A model server with the real one's arguments; its folder says how it behaves.

`{"fail": share, "delay_ms": n, "sick_after": seconds}`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from pathlib import Path

STARTED = time.monotonic()


async def _answer(reader, writer, behaviour):
    while True:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            writer.close()
            return
        length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")), 0)
        await reader.readexactly(length)
        health = " /v2/health/" in head
        if not health:
            await asyncio.sleep(behaviour.get("delay_ms", 0) / 1000)
        sick = time.monotonic() - STARTED > behaviour.get("sick_after", float("inf"))
        failed = sick if health else random.random() < behaviour.get("fail", 0)
        body = json.dumps({"version": behaviour["version"]}).encode()
        status = "500 Broken" if failed else "200 OK"
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nx-model-version: {behaviour['version']}\r\n\r\n".encode() + body
        )
        await writer.drain()


async def _serve(port, behaviour):
    server = await asyncio.start_server(lambda reader, writer: _answer(reader, writer, behaviour), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path)
    for name in ("--digest", "--log-dir"):
        parser.add_argument(name)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    asyncio.run(_serve(options.port, json.loads((options.directory / "behaviour.json").read_text())))
