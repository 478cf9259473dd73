"""Section server: the processes that answer for one version, and what they take in."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from include.lifecycle.sections.base import Section
from include.lifecycle.units import Duration, format_duration

_LONGEST, _LONGEST_START = timedelta(minutes=5), timedelta(minutes=10)


def _drain(value: timedelta) -> timedelta:
    return _up_to(value, _LONGEST)


def _start(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError(f"{format_duration(value)} is too short; allowed: 1s to {format_duration(_LONGEST_START)}")
    return _up_to(value, _LONGEST_START)


def _body(value: timedelta) -> timedelta:
    if value < timedelta(milliseconds=100):
        raise ValueError(f"{format_duration(value)} is too short; allowed: 100ms to {format_duration(_LONGEST)}")
    return _up_to(value, _LONGEST)


def _up_to(value: timedelta, most: timedelta) -> timedelta:
    if value > most:
        raise ValueError(f"{format_duration(value)} is too long; the longest is {format_duration(most)}")
    return value


class DrainSection(Section):
    """How a server ends: readiness says no, the port closes, requests under way are answered, the prediction log is closed."""

    notice: Annotated[Duration, AfterValidator(_drain)] = Field(
        description="wall time, up to 5m, that a server which is told to end still takes connections, while its readiness says no"
    )
    at_most: Annotated[Duration, AfterValidator(_drain)] = Field(
        description="wall time, up to 5m, that requests under way then have; in whole seconds, at least 1"
    )


class ServerSection(Section):
    """How a version is served. A server that runs keeps the values that it was started with."""

    replicas: Annotated[int, Field(ge=1, le=32)] = Field(description="servers per version; a rolling rollout replaces one by one")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        description="processes of one server, which share its port and add up their metrics"
    )
    queue: Annotated[int, Field(ge=1, le=65_536)] = Field(
        description="requests that may wait in one worker; further ones are answered 503 with Retry-After"
    )
    max_rows: Annotated[int, Field(ge=1, le=10_000_000)] = Field(description="rows of one request; more are answered 413")
    max_body: Annotated[int, Field(ge=1_024, le=1024**3)] = Field(
        description="bytes of one request's body; more are answered 413"
    )
    body_within: Annotated[Duration, AfterValidator(_body)] = Field(
        description="wall time, 100ms to 5m, in which the whole body must come; else the request is answered 408"
    )
    inline_rows: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        description="rows up to which an ONNX model answers on the event loop: fastest, but health checks wait for it"
    )
    start_within: Annotated[Duration, AfterValidator(_start)] = Field(
        description="wall time, 1s to 10m, in which a server must be ready; else its version is refused"
    )
    drain: DrainSection = Field(description="how a server ends")

    def server_options(self) -> list[str]:
        """Options of the model server (include/serving/options.py)."""
        return [
            *("--workers", str(self.workers)),
            *("--queue", str(self.queue)),
            *("--max-rows", str(self.max_rows)),
            *("--max-body", str(self.max_body)),
            *("--body-within", f"{self.body_within.total_seconds():g}"),
            *("--inline-rows", str(self.inline_rows)),
            *("--drain-notice", f"{self.drain.notice.total_seconds():g}"),
            *("--drain-at-most", f"{self.drain.at_most.total_seconds():g}"),
        ]
