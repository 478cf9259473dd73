"""A client of the gateway that costs little: HTTP/1.1 with keep-alive over asyncio streams, no retries.

The replay shares two cores with the whole platform; this takes about a tenth of a general client's time per request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_PROBLEMS = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)  # what a broken connection or answer raises


@dataclass(frozen=True)
class Answer:
    """What came back: `status` is 0 when nothing did, then `problem` says why; `version` is the model version that answered."""

    status: int
    version: str = ""
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether the client got a prediction."""
        return self.status == 200


@dataclass
class GatewayClient:
    """Connections to one address, opened when all others are busy and kept. A connection that failed is closed."""

    url: str
    timeout: float = 10.0
    _idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=deque)

    async def post(self, path: str, body: bytes) -> Answer:
        """Send one JSON body and read the whole answer; never raises for a failed request, and never sends it twice."""
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(self.timeout):
                reader, writer = await self._connection()
                writer.write(self._head(path, len(body)) + body)
                answer, keep = await _read_answer(reader)
        except TimeoutError:
            answer, keep = Answer(0, problem=f"no answer within {self.timeout:g} s"), False
        except _PROBLEMS as problem:
            answer, keep = Answer(0, problem=f"{type(problem).__name__}: {problem}"), False
        if writer is not None:
            if keep:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return answer

    async def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            writer = self._idle.pop()[1]
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not (writer.is_closing() or reader.at_eof()):
                return reader, writer
            writer.close()
        address = urlsplit(self.url)
        return await asyncio.open_connection(address.hostname, address.port or 80)

    def _head(self, path: str, length: int) -> bytes:
        host = urlsplit(self.url).netloc
        lines = (f"POST {path} HTTP/1.1", f"host: {host}", "content-type: application/json", f"content-length: {length}", "", "")
        return "\r\n".join(lines).encode()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[Answer, bool]:
    """One answer, and whether the connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await _read_body(reader, headers)
    problem = "" if status == 200 else f"HTTP {status}: {body[:200].decode(errors='replace')}"
    return Answer(status, headers.get("x-model-version", ""), problem), headers.get("connection", "") != "close"


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body
