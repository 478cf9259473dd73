"""One HTTP exchange's parts that every route shares: the reply, who asks and under which identity, the error object."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import Any, NamedTuple

import orjson

from include.serving.log_schema import ARM_HEADER, ARMS, LIVE, UNIT_HEADER
from include.serving.prediction_log import unit_of
from include.serving.tensor_checks import RequestRefusedError

Headers = list[tuple[bytes, bytes]]
Scope = dict[str, Any]
Receive = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON, TEXT = b"application/json", b"text/plain; version=0.0.4; charset=utf-8"
_ARM_HEADER, _ARMS = ARM_HEADER.encode(), {arm.encode(): arm for arm in ARMS}
_UNIT_HEADER = UNIT_HEADER.encode()
CLIENT = "modelops.client"
"""Key of an ASGI scope: whose API key the request carries; absent where none was asked for."""
_MAX_ID = 128
_CLOSE = ((b"connection", b"close"),)  # what the client still sends would be read only to be thrown away


class Reply(NamedTuple):
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


@dataclass(frozen=True)
class BodyLimits:
    """Bounds of a request's body: bytes, and seconds from its head to its last byte."""

    size: int = 32 * 1024 * 1024
    seconds: float = 30.0


async def read_body(scope: Scope, receive: Receive, limits: BodyLimits) -> bytes:
    """The whole request body.

    RequestRefusedError: 413 as soon as it is, or says that it will be, too large; 408 when it does not come in time.
    ClientGoneError: the connection was closed before.
    """
    step, message = receive(), None
    try:
        waits_for = step.send(None)
    except StopIteration as done:  # nearly always the body came with its head: no timer is set
        message = done.value
        if message["type"] == "http.request" and not message.get("more_body"):
            return _within(limits.size, bytes(message.get("body", b"")))
    if _told_size(scope) > limits.size:
        step.close()
        raise _too_large(limits.size)
    try:
        async with asyncio.timeout(limits.seconds):
            first = await _Begun(step, waits_for) if message is None else message
            return await _in_pieces(first, receive, limits.size)
    except TimeoutError:
        raise RequestRefusedError(408, f"the request body did not come within {limits.seconds:g} s", _CLOSE) from None


def _within(limit: int, body: bytes) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


@dataclass(frozen=True)
class _Begun:
    """The rest of a coroutine whose first step was taken by hand; `waits_for` is what that step waits for."""

    step: Coroutine[Any, Any, dict[str, Any]]
    waits_for: Any

    def __await__(self) -> Generator[Any, Any, dict[str, Any]]:
        waits_for = self.waits_for
        while True:
            try:
                sent = yield waits_for
            except BaseException as problem:  # noqa: BLE001 - it is the coroutine's to handle
                proceed = partial(self.step.throw, problem)
            else:
                proceed = partial(self.step.send, sent)
            try:
                waits_for = proceed()
            except StopIteration as done:
                return dict(done.value)


async def _in_pieces(message: dict[str, Any], receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _too_large(limit: int) -> RequestRefusedError:
    return RequestRefusedError(413, f"the request body is larger than the limit of {limit} bytes", _CLOSE)


def _told_size(scope: Scope) -> int:
    told = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(told) if told.isdigit() else 0
