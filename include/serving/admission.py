"""Whether a request may be answered now: a bounded queue per worker, and the drain before the server ends.

The queue is what waits for its turn after its body was read: a slow sender takes no place in it.
"""

from __future__ import annotations

import asyncio
import math

from include.serving.tensor_checks import RequestRefusedError

_MEMORY = 0.02  # weight of the newest request in the average time


class Admission:
    """Counts what waits and is computed in this worker; `limit` requests at most. Used by the event loop's thread alone."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.waiting = 0
        """Requests that wait or are computed."""
        self.draining = False
        """Whether the server is about to end: readiness says no, and each answer closes its connection."""
        self._average = 0.001

    async def enter(self) -> None:
        """Take a place, then let those before go first; every `enter` is followed by one `leave`.

        Raises RequestRefusedError (503 with Retry-After) when all places are taken.
        """
        if self.waiting >= self.limit:
            after = max(1, math.ceil(self.waiting * self._average))
            message = f"{self.waiting} requests wait already, the limit of this server; try again in {after} s"
            raise RequestRefusedError(503, message, ((b"retry-after", str(after).encode()),))
        self.waiting += 1
        try:
            await asyncio.sleep(0)  # what came in beside this one is counted before any of it is computed
        except asyncio.CancelledError:
            self.waiting -= 1
            raise

    def leave(self, seconds: float) -> None:
        """Give the place back; `seconds` is what computing took, without waiting."""
        self.waiting -= 1
        self._average += _MEMORY * (seconds - self._average)
