"""Reads a running shadow's pairs, a little at a time: called at each look of the driver, it opens files every few seconds only.

What was counted lies in a small file beside the model's artefacts, with the place where reading stopped: another process goes on
from there and counts nothing twice; only halves that were waiting at that moment stay single.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ValidationError

from include.lifecycle.rollout.evidence import PairEvidence
from include.lifecycle.rollout.shadowing.pairing import Counted, Pairing
from include.lifecycle.rollout.shadowing.summary import pair_evidence
from include.lifecycle.rollout.shadowing.tail import read_news
from include.lifecycle.rollout.states import Plan
from include.lifecycle.storage import write_whole

EVERY = 5.0  # seconds between two readings
_FILE = "pairs.json"


class _Stored(BaseModel):
    """The file: whose stage it is (epoch seconds of its start), where reading stopped, what was counted."""

    since: float
    offsets: dict[str, int]
    counted: Counted


@dataclass
class PairReader:
    """The pairs of one shadow stage. `folder`: where its file lies; `log`: the model's prediction log."""

    plan: Plan
    log: Path
    folder: Path
    since: float
    counted: Counted = field(default_factory=Counted)
    evidence: PairEvidence = field(default_factory=PairEvidence)
    used_at: float = field(default_factory=time.monotonic)
    _offsets: dict[str, int] = field(default_factory=dict)
    _pairing: Pairing | None = None
    _read_at: float = -1e9
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> tuple[PairEvidence, bool]:
        """What is known, and whether it is news; reads at most every EVERY seconds, unless there is more than one call takes."""
        with self._lock:
            self.used_at = time.monotonic()
            if self.used_at - self._read_at < EVERY:
                return self.evidence, False
            news = self._read()
            if news or self.evidence.pairs != self.counted.requests:
                task = self.plan.objective.task if self.plan.objective else ""
                self.evidence = pair_evidence(self.counted, ranked=task != "multiclass_classification")
            return self.evidence, news

    def _read(self) -> bool:
        if self._pairing is None:
            self._pairing = self._begin()
        before = self.counted.rows, self.counted.alone
        versions = {self.plan.version, *([] if self.plan.champion is None else [self.plan.champion])}
        news = read_news(self.log, versions, self.since, self._offsets)
        self._pairing.add(news.rows, self.since)
        self._read_at = -1e9 if news.behind else time.monotonic()
        self._offsets = news.offsets
        if not news.rows:
            return False
        stored = _Stored(since=self.since, offsets=self._offsets, counted=self.counted)
        write_whole(self.folder / _FILE, stored.model_dump_json())
        return (self.counted.rows, self.counted.alone) != before

    def _begin(self) -> Pairing:
        """Where the last reader of this stage stopped, else at the stage's start."""
        try:
            stored = _Stored.model_validate_json((self.folder / _FILE).read_bytes())
        except (FileNotFoundError, ValidationError):  # none yet, or of another release
            stored = None
        if stored is not None and stored.since == self.since:
            self._offsets, self.counted = stored.offsets, stored.counted
        plan = self.plan
        tolerance = plan.shadow.tolerance if plan.shadow else 0.0
        if plan.objective is None or plan.champion is None:
            raise ValueError(f"{plan.model}: a shadow needs a champion and an objective to be compared by")
        return Pairing(plan.objective, tolerance, plan.champion, plan.version, self.counted)
