"""One HTTP exchange's parts that every route shares: the reply, who asks and under which identity, the error object."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, NamedTuple

import orjson

from include.serving.log_schema import ARM_HEADER, ARMS, LIVE, UNIT_HEADER
from include.serving.prediction_log import unit_of
from include.serving.tensor_checks import RequestRefusedError

Headers = list[tuple[bytes, bytes]]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON, TEXT = b"application/json", b"text/plain; version=0.0.4; charset=utf-8"
_ARM_HEADER, _ARMS = ARM_HEADER.encode(), {arm.encode(): arm for arm in ARMS}
_UNIT_HEADER = UNIT_HEADER.encode()
_MAX_ID = 128


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    headers: Headers
    content_type: bytes = JSON


class Identity(NamedTuple):
    """A request as it is logged: its id, and the version, the arm and the sticky unit that the gateway had assigned."""

    request_id: str
    assigned: int | None
    arm: str
    unit: str | None

    def headers(self, version: bytes) -> Headers:
        """The response headers that tell version and id."""
        return [(b"x-model-version", version), (b"x-request-id", self.request_id.encode())]


def identify(headers: Iterable[tuple[bytes, bytes]], body_id: str | None = None) -> Identity:
    """The id is the header's, else the body's, else a new one; one that is long or not printable does not count."""
    given, assigned, arm, unit = None, None, LIVE, None
    for name, value in headers:
        if name == b"x-request-id":
            given = value.decode("latin-1")
        elif name == b"x-modelops-assigned":
            assigned = int(value) if value.isdigit() and len(value) < 10 else None
        elif name == _ARM_HEADER:
            arm = _ARMS.get(value, LIVE)
        elif name == _UNIT_HEADER and value:
            unit = unit_of(value.decode("latin-1"))
    usable = (text for text in (given, body_id) if text and len(text) <= _MAX_ID and text.isascii() and text.isprintable())
    return Identity(next(usable, None) or token_hex(16), assigned, arm, unit)


def error(status: int, message: str, headers: Headers) -> Reply:
    """The protocol's error object."""
    return Reply(status, orjson.dumps({"error": message}), headers)


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole request body; 413 as soon as it is, or says that it will be, longer than `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > limit or (message.get("more_body") and _told_size(scope) > limit):
            # the connection is closed: what the client still sends would be read only to be thrown away
            close = ((b"connection", b"close"),)
            raise RequestRefusedError(413, f"the request body is larger than the limit of {limit} bytes", close)
        if not message.get("more_body"):
            return b"".join((*parts, part)) if parts else bytes(part)
        parts.append(part)


def _told_size(scope: Scope) -> int:
    told = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(told) if told.isdigit() else 0
