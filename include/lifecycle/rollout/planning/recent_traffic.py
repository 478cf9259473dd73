"""How many live requests a model had lately, how often they failed and how long they took, from the gateway's access log.

Read once, when a rollout is planned or shown as a plan. The log keeps wall time, as rollouts do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from include.lifecycle.rollout.evidence import Plain
from include.lifecycle.rollout.gateway.access_log import Request, parse

DAY = timedelta(days=1)
SHORTEST = timedelta(minutes=10)  # the mean rate is taken over at least so long, and at most a day
_BIN = 10  # seconds
_BLOCK, _MOST_BYTES = 4_000_000, 128_000_000
_SAMPLE = 5_000  # newest requests of the champion whose errors and latencies are looked at
_TIME, _ARM = re.compile(rb'"ts": ?"?(\d+(?:\.\d+)?)'), re.compile(rb'"assigned": ?"?\d')


class RecentTraffic(Plain):
    """`requests` live requests in `seconds` up to now. Errors and latencies (sorted, microseconds) are the champion's.

    `busiest` is the highest rate (requests/s) over a stretch as long as the rollout may take; None when the log is younger.
    """

    requests: int = 0
    seconds: float = 0.0
    busiest: float | None = None
    champion_requests: int = 0
    champion_errors: int = 0
    latencies_us: list[int] = Field(default=[], exclude=True)

    @property
    def per_second(self) -> float | None:
        """Mean rate of live requests; None when there were none, and so nothing is known."""
        return self.requests / self.seconds if self.requests and self.seconds else None

    @property
    def told(self) -> str:
        """The traffic in words."""
        if self.per_second is None:
            return "Traffic unknown: the gateway's log has no recent request of this model, so times are the least possible."
        minutes = max(1, round(self.seconds / 60))
        span = f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"
        return f"Traffic: {self.per_second * 60:.3g} requests/min ({self.requests} in the last {span} of the gateway's log)."


def recent_traffic(log: Path, model: str, champion: int | None, *, give_up_after: timedelta, now: float) -> RecentTraffic:
    """What the access log tells of the last day, at most its newest 128 MB; `now` in epoch seconds.

    The mean is taken over the last `give_up_after` (ten minutes to a day), or since the model's first request in it.
    """
    bins, times = np.zeros(int(DAY.total_seconds()) // _BIN, dtype=np.int64), [now]
    sample: list[Request] = []
    for at, line in _lines(log, model, now - DAY.total_seconds()):
        if at > now:
            continue
        bins[-1 - min(int(now - at) // _BIN, bins.size - 1)] += 1
        times.append(at)
        if len(sample) < _SAMPLE and (found := parse(line, model, {})) is not None and found.assigned == champion:
            sample.append(found)
    window = min(DAY, max(SHORTEST, give_up_after)).total_seconds()
    seen = now - min(times)
    seconds = min(window, max(seen, 1.0))
    return RecentTraffic(
        requests=int(bins[-max(1, int(window) // _BIN) :].sum()),
        seconds=seconds,
        busiest=busiest_rate(bins, min(give_up_after, DAY), seen),
        **_champion(sample),
    )


def busiest_rate(bins: NDArray[np.int64], stretch: timedelta, seen: float) -> float | None:
    """Highest mean rate (requests/s) over any `stretch` in the bins of ten seconds, oldest first.

    None when the model's first request is not so long ago (`seen` seconds), or there was none.
    """
    wide = max(1, int(np.ceil(stretch.total_seconds() / _BIN)))
    if seen < stretch.total_seconds() or not bins.sum():
        return None
    sums = np.concatenate([[0], np.cumsum(bins)])
    return float((sums[wide:] - sums[:-wide]).max()) / (wide * _BIN)


def _champion(sample: list[Request]) -> dict[str, Any]:
    errors = sum(one.failed or not one.answered for one in sample)
    good = [one.duration_us for one in sample if one.answered and not one.failed and one.duration_us is not None]
    return {"champion_requests": len(sample), "champion_errors": errors, "latencies_us": sorted(good)}


def _lines(log: Path, model: str, since: float) -> Iterator[tuple[float, bytes]]:
    """Lines of the model that have an arm, with their time, newest first; the log of before its last rotation included."""
    mark, left = f'"{model}"'.encode(), _MOST_BYTES
    for path in (log, log.with_name(f"{log.name}.1")):
        for block in _blocks(path, left):
            left -= len(block)
            for line in reversed(block.splitlines()):
                found = _TIME.search(line) if mark in line else None
                if found is None:
                    continue
                if (at := float(found[1])) < since:
                    return
                if _ARM.search(line):
                    yield at, line


def _blocks(path: Path, most: int) -> Iterator[bytes]:
    """The file from its end, in blocks of whole lines, at most about `most` bytes."""
    if not path.exists():
        return
    with path.open("rb") as handle:
        end = handle.seek(0, 2)
        rest, lowest = b"", max(0, end - most)
        while end > lowest:
            start = max(lowest, end - _BLOCK)
            handle.seek(start)
            block = handle.read(end - start) + rest
            cut = block.find(b"\n") + 1 if start else 0
            rest, end = block[:cut], start
            yield block[cut:]
