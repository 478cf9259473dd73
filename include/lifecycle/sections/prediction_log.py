"""Section prediction_log: how answers are written, where compacted files go, and how long rows are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from include.lifecycle.sections.base import Section
from include.lifecycle.units import Duration, PositiveDuration, format_duration


def _flush(value: timedelta) -> timedelta:
    return _between(value, timedelta(milliseconds=1), timedelta(seconds=10))


def _age(value: timedelta) -> timedelta:
    return _between(value, timedelta(seconds=1), timedelta(days=1))


def _between(value: timedelta, least: timedelta, most: timedelta) -> timedelta:
    if not least <= value <= most:
        allowed = f"{format_duration(least)} to {format_duration(most)}"
        raise ValueError(f"{format_duration(value)} is out of bounds; allowed: {allowed}")
    return value


class PredictionLogSection(Section):
    """How answers are logged. A request never waits for the log."""

    flush: Annotated[Duration, AfterValidator(_flush)] = Field(
        description="wall time between two writes, 1ms to 10s: what a killed server may lose"
    )
    buffer_rows: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        description="rows that wait for a write at most; further ones are dropped and counted"
    )
    segment_bytes: Annotated[int, Field(ge=1_024, le=4 * 1024**3)] = Field(description="bytes after which a segment is closed")
    segment_age: Annotated[Duration, AfterValidator(_age)] = Field(
        description="wall time after which a segment is closed, 1s to 1d: how late a row becomes Parquet at most"
    )
    destination: Annotated[str, Field(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=-]+)*$")] | None = Field(
        description="where compacted files go: `s3://bucket/prefix` (account: MODELOPS_S3_*); "
        "null: they stay in the storage folder"
    )
    keep: PositiveDuration = Field(
        description="event time that rows are kept; longer where labels, monitoring, an open signal or an open rollout need them"
    )

    def server_options(self) -> list[str]:
        """Options of the model server (include/serving/server.py)."""
        return [
            *("--log-flush-seconds", f"{self.flush.total_seconds():g}"),
            *("--log-buffer-rows", str(self.buffer_rows)),
            *("--log-segment-bytes", str(self.segment_bytes)),
            *("--log-segment-seconds", f"{self.segment_age.total_seconds():g}"),
        ]
