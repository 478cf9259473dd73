"""Pairs the answers of champion and shadow by request id and row, and counts what they say. Pure: rows in, counts out.

Counts and extremes are exact over all pairs; quantiles and ranks come from a sample that the request ids choose.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from include.lifecycle.sections.training import ObjectiveSection
from include.serving.log_schema import LIVE, SHADOW

SAMPLE = 2_000
WORST = 20
PATIENCE = 60.0  # seconds that one answer waits for the other: longer than the gateway waits for any
MOST_WAITING = 20_000

Row = dict[str, Any]


class Counted(BaseModel):
    """What all pairs so far say; JSON-plain, so that another process goes on from it.

    `requests` were answered by both, `agreed` of them alike (a request of several rows counts by its share), `rows` in all.
    `sample`: [-order, live, shadow, live ms, shadow ms] of the SAMPLE rows of smallest order. `worst`: the WORST rows.
    `alone`: shadow answers whose live one never came. `mean`, `mean_absolute`, `largest`: of the differences.
    """

    requests: int = 0
    agreed: float = 0.0
    rows: int = 0
    alone: int = 0
    mean: float = 0.0
    mean_absolute: float = 0.0
    largest: float = 0.0
    sample: list[tuple[int, float, float, float, float]] = []
    worst: list[Row] = []


@dataclass
class Pairing:
    """Goes on from `counted`; what waits for its other half is kept in memory only."""

    objective: ObjectiveSection
    tolerance: float
    champion: int
    shadow: int
    counted: Counted = field(default_factory=Counted)
    _waiting: dict[tuple[str, int], tuple[str, float, Row]] = field(default_factory=dict)
    _newest: dict[str, float] = field(default_factory=lambda: {LIVE: 0.0, SHADOW: 0.0})

    def add(self, rows: Iterable[Row], since: float) -> None:
        """Take new rows of the log, in any order; rows that were logged before `since` (epoch seconds) are left out."""
        met: dict[str, list[bool]] = {}
        for row in rows:
            arm, logged = self._arm(row), _epoch(row)
            if arm is None or logged < since:
                continue
            self._newest[arm] = max(self._newest[arm], logged)
            place = (str(row["request_id"]), int(row["row"]))
            waiting = self._waiting.get(place)
            if waiting is None:
                self._waiting[place] = (arm, logged, row)
            elif waiting[0] != arm:
                del self._waiting[place]
                live, other = (row, waiting[2]) if arm == LIVE else (waiting[2], row)
                met.setdefault(place[0], []).append(self._compare(live, other))
        self.counted.requests += len(met)
        self.counted.agreed += sum(sum(same) / len(same) for same in met.values())
        self._expire()

    def _arm(self, row: Row) -> str | None:
        """Which half the row is: a client's answer by the champion, or the shadow's."""
        arm, version = row.get("arm") or LIVE, row.get("model_version")
        if arm == SHADOW:
            return SHADOW if version == self.shadow else None
        return LIVE if arm == LIVE and version == self.champion and row.get("assigned_version") is not None else None

    def _compare(self, live: Row, other: Row) -> bool:
        """Count one pair of rows; whether both say the same."""
        same, difference = self._judge(live, other)
        found = self.counted
        found.rows += 1
        found.mean += (difference - found.mean) / found.rows
        found.mean_absolute += (abs(difference) - found.mean_absolute) / found.rows
        found.largest = max(found.largest, abs(difference))
        self._sample(live, other)
        if len(found.worst) < WORST or (not same, abs(difference)) > _rank(found.worst[-1]):
            told = {name: live.get(name) for name in ("request_id", "row", "key", "features")}
            told |= {"live": _said(live), "shadow": _said(other), "same": same, "difference": difference}
            found.worst = sorted([*found.worst, told], key=_rank, reverse=True)[:WORST]
        return same

    def _judge(self, live: Row, other: Row) -> tuple[bool, float]:
        """Same decision or not; the difference: shadow less live, of several classes the total variation distance."""
        one, two = float(live["prediction"]), float(other["prediction"])
        if self.objective.task == "multiclass_classification":
            first, second = live.get("probabilities"), other.get("probabilities")
            if first and second and len(first) == len(second):
                return one == two, sum(abs(b - a) for a, b in zip(first, second, strict=True)) / 2
            return one == two, float(one != two)
        if self.objective.task == "regression":
            return abs(two - one) <= self.tolerance, two - one
        return (one >= self.objective.threshold) == (two >= self.objective.threshold), two - one

    def _sample(self, live: Row, other: Row) -> None:
        order = _order(str(live["request_id"]), int(live["row"]))
        held = self.counted.sample  # a heap with the largest order at its root
        item = (-order, float(live["prediction"]), float(other["prediction"]), live["latency_ms"], other["latency_ms"])
        if len(held) < SAMPLE:
            heapq.heappush(held, item)
        elif item > held[0]:
            heapq.heapreplace(held, item)

    def _expire(self) -> None:
        """Give up on halves whose other half would have come by now, and on the oldest when there are too many."""
        limit = {LIVE: self._newest[SHADOW] - PATIENCE, SHADOW: self._newest[LIVE] - PATIENCE}
        excess = len(self._waiting) - MOST_WAITING
        for number, (place, (arm, logged, _)) in enumerate(list(self._waiting.items())):
            if number >= excess and logged >= limit[arm]:
                continue
            self.counted.alone += arm == SHADOW
            del self._waiting[place]


def _rank(told: Row) -> tuple[bool, float]:
    return (not told["same"], abs(told["difference"]))


def _said(row: Row) -> Any:
    return row.get("label", row["prediction"])


def _order(request_id: str, row: int) -> int:
    """A number that is as good as random and the same in each process."""
    return int.from_bytes(hashlib.blake2b(f"{request_id} {row}".encode(), digest_size=6).digest())


def _epoch(row: Row) -> float:
    return datetime.fromisoformat(row["logged_at"]).timestamp()
