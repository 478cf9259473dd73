"""Requests of a drill's clients, and who watches the traffic: threads that count what clients get and when the canary lost it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.rollout.drills.model import request_of
from include.lifecycle.rollout.targets.base import Target

CLIENTS = 4
PAUSE = 0.05  # seconds between two requests of one client: about eighty a second in all


@dataclass
class DrillTraffic:
    """Clients of one scratch model through the gateway; `asked` and `failed` count requests and answers other than 200."""

    url: str
    model: str
    asked: int = 0
    failed: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=20)

    def _run(self) -> None:
        where = urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port, timeout=15)
        body = json.dumps(request_of((0.5, -0.25)))
        while not self._stop.wait(PAUSE):
            try:
                connection.request("POST", f"/v2/models/{self.model}/infer", body, {"content-type": "application/json"})
                response = connection.getresponse()
                response.read()
                good = response.status == http.client.OK
            except OSError:
                connection.close()
                good = False
            with self._lock:
                self.asked += 1
                self.failed += not good


@dataclass
class TrafficWatch:
    """Asks the gateway every few milliseconds and remembers when `version` had no share any more (epoch seconds)."""

    target: Target
    model: str
    version: int
    gone_at: float | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=20)

    def _run(self) -> None:
        had = False
        while self.gone_at is None and not self._stop.wait(0.02):
            try:
                share = self.target.read_back(self.model).get(self.version, 0)
            except SourceUnavailableError:
                continue
            had = had or share > 0
            self.gone_at = time.time() if had and not share else None
