"""The writing end of the prediction log: requests append to a bounded buffer, one thread writes it out as JSONL segments.

A request never waits: what does not fit is counted as dropped. Layout and reader are in log_schema.py.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from include.serving.log_schema import LIVE
from include.serving.outputs import Predicted
from include.serving.segment import Segment

logger = logging.getLogger(__name__)


def unit_of(sticky_value: str) -> str:
    """What column `unit` keeps of a sticky key (a user, an account): 24 hex digits of its sha256, never the key itself."""
    return hashlib.sha256(sticky_value.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Answer:
    """One answered request as it is logged: a line per row. `columns` and the lists run over the rows."""

    request_id: str
    assigned_version: int | None
    logged_at: datetime
    latency_ms: float
    columns: dict[str, list[Any]]
    predicted: Predicted
    keys: list[str | None] | None = None
    event_times: list[str | None] | None = None
    arm: str = LIVE
    unit: str | None = None
    client: str | None = None

    def lines(self, version: int) -> bytes:
        """The JSONL lines; a row without event time happened when it was logged."""
        logged_at = self.logged_at.astimezone(UTC).isoformat(timespec="microseconds")
        names = tuple(self.columns)
        told = self.predicted
        features = zip(*self.columns.values(), strict=True) if names else ((),) * len(told.values)
        rows = (
            {
                "request_id": self.request_id,
                "row": row,
                "model_version": version,
                "assigned_version": self.assigned_version,
                "arm": self.arm,
                "logged_at": logged_at,
                "key": self.keys[row] if self.keys else None,
                "event_time": (self.event_times[row] if self.event_times else None) or logged_at,
                "prediction": prediction,
                "latency_ms": self.latency_ms,
                "features": dict(zip(names, values, strict=True)),
            }
            | ({"unit": self.unit} if self.unit else {})
            | ({"client": self.client} if self.client else {})
            | ({"label": told.labels[row]} if told.labels else {})
            | ({"probabilities": told.probabilities[row]} if told.probabilities else {})
            for row, (prediction, values) in enumerate(zip(told.values, features, strict=True))
        )
        return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)


@dataclass(frozen=True)
class LogLimits:
    """Bounds of the log: flush window and retry in seconds, buffer in rows, a segment's size in bytes and age in seconds."""

    flush_seconds: float = 0.05
    retry_seconds: float = 1.0
    buffer_rows: int = 50_000
    segment_bytes: int = 64 * 1024 * 1024
    segment_seconds: float = 300.0


class PredictionLog:
    """Appends answers to `<folder>/segments/<version>-<pid>-<epoch_ms>.jsonl.open`; `close` flushes and renames.

    While the folder cannot be written, rows wait in the buffer, later ones are dropped and counted, and writing is tried again.
    """

    def __init__(self, folder: Path, version: int, dropped: Callable[[int], Any], limits: LogLimits | None = None) -> None:
        self._folder, self._version, self._dropped = folder, version, dropped
        self._limits = limits or LogLimits()
        self._waiting: deque[Answer] = deque()
        self._waiting_rows = 0
        self._lock = threading.Lock()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._segment: Segment | None = None
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def failing(self) -> bool:
        """Whether the last write failed."""
        return self._failing

    def append(self, answer: Answer) -> None:
        """Take one answer, or count its rows as dropped when the buffer is full. Never blocks on the disk."""
        rows = len(answer.predicted.values)
        with self._lock:
            fits = self._waiting_rows + rows <= self._limits.buffer_rows
            if fits:
                self._waiting.append(answer)
                self._waiting_rows += rows
        if not fits:
            self._dropped(rows)
        elif not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what waits, close the segment and stop the thread; rows that cannot be written are counted as dropped."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(timeout=min(1.0, self._limits.segment_seconds))
            self._closing.wait(self._limits.retry_seconds if self._failing else self._limits.flush_seconds)
            self._flush()
        self._flush()
        self._finish_segment()
        if self._waiting_rows:
            logger.error("prediction log %s: %d rows lost at shutdown", self._folder, self._waiting_rows)
            self._dropped(self._waiting_rows)

    def _flush(self) -> None:
        self._wake.clear()
        with self._lock:
            batch, rows = list(self._waiting), self._waiting_rows
        try:
            if batch:
                self._write(b"".join(map(self._lines, batch)))
            elif self._segment is not None and self._segment.age > self._limits.segment_seconds:
                self._finish_segment()
        except OSError as problem:
            self._failed(problem)
            return
        if batch:
            self._written(len(batch), rows)

    def _lines(self, answer: Answer) -> bytes:
        """An answer's lines; one that no JSON can hold is dropped, so that it does not stop the log for the others."""
        try:
            return answer.lines(self._version)
        except (TypeError, ValueError) as problem:
            logger.error("request %r cannot be logged: %s", answer.request_id, problem)
            self._dropped(len(answer.predicted.values))
            return b""

    def _written(self, answers: int, rows: int) -> None:
        with self._lock:
            for _ in range(answers):
                self._waiting.popleft()
            self._waiting_rows -= rows
        if self._failing:
            self._failing = False
            logger.warning("prediction log %s can be written again", self._folder)

    def _write(self, content: bytes) -> None:
        if self._segment is not None and self._segment.vanished:
            self._segment.abandon()
            self._segment = None
        if self._segment is None:
            self._segment = Segment.create(self._folder, self._version)
        self._segment.write(content)
        if self._segment.size >= self._limits.segment_bytes or self._segment.age > self._limits.segment_seconds:
            self._finish_segment()

    def _finish_segment(self) -> None:
        segment, self._segment = self._segment, None
        try:
            if segment is not None:
                segment.finish()
        except OSError as problem:
            logger.warning("segment %s stays open, compaction will close it: %s", segment.path.name if segment else "", problem)

    def _failed(self, problem: OSError) -> None:
        """Say it once per outage, give up the segment, keep the rows for the next try."""
        if not self._failing:
            logger.error(
                "prediction log %s cannot be written: %s; requests go on, rows wait or are dropped", self._folder, problem
            )
        self._failing = True
        self._finish_segment()
