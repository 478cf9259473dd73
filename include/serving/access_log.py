"""Who asked and was refused, by minute, client and status: small files beside the prediction log, for security monitoring.

<log folder>/access/<version>-<pid>-<day>.jsonl: a line per minute, client and status that had any request. A request only counts
in memory; the server's tick writes the minutes that are over.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

logger = logging.getLogger(__name__)

ACCESS = "access"
MOST_WAITING = 10_000
"""Counts (minute, client, status) that wait for a disk that cannot be written; more are dropped."""
_MINUTE = 60


class AccessLog:
    """Counts this process's requests. Used by the event loop's thread alone. `clock`: seconds since 1970, wall time."""

    def __init__(self, folder: Path, version: int, *, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._version, self._clock = folder / ACCESS, version, clock
        self._waiting: Counter[tuple[int, str, int]] = Counter()
        self._failing = False

    def count(self, client: str, status: int) -> None:
        """One request: `client` is whose key it carried, empty where that is not known; `status` is the answer's HTTP code."""
        self._waiting[int(self._clock()) // _MINUTE, client, status] += 1

    def flush(self, *, everything: bool = False) -> None:
        """Write the minutes that are over, or all; a disk that cannot be written is told once, and its counts wait."""
        now = int(self._clock()) // _MINUTE
        done = {key: count for key, count in self._waiting.items() if everything or key[0] < now}
        if not done:
            return
        try:
            self._write(done)
        except OSError as problem:
            self._failed(problem)
            return
        self._failing = False
        for key in done:
            del self._waiting[key]

    def _write(self, counts: dict[tuple[int, str, int], int]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        by_day: dict[str, list[str]] = {}
        for (minute, client, status), requests in sorted(counts.items()):
            at = datetime.fromtimestamp(minute * _MINUTE, UTC)
            line = {"at": at.isoformat(), "version": self._version, "client": client, "status": status, "requests": requests}
            by_day.setdefault(f"{at:%Y%m%d}", []).append(json.dumps(line))
        for day, lines in by_day.items():
            with (self._folder / f"{self._version}-{os.getpid()}-{day}.jsonl").open("a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")

    def _failed(self, problem: OSError) -> None:
        if not self._failing:
            logger.error("access log %s cannot be written: %s; counts wait", self._folder, problem)
        self._failing = True
        while len(self._waiting) > MOST_WAITING:
            del self._waiting[min(self._waiting)]
