"""Clients of the gateway: threads that post predictions without pause and count what they get, by status and by version."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Clients:
    """`with Clients(port, path): ...` asks all the while. `pause`: seconds between two requests of one client,
    `patience`: seconds after which it leaves without an answer."""

    port: int
    path: str
    body: bytes = b"{}"
    count: int = 4
    pause: float = 0.02
    patience: float = 15.0
    headers: dict[str, str] = field(default_factory=dict)
    codes: Counter[int] = field(default_factory=Counter)
    assigned: Counter[str | None] = field(default_factory=Counter)
    problems: list[tuple[int, object]] = field(default_factory=list)
    answered: list[tuple[float, float, int, str | None]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(self.count)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=20)

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.codes.values())

    @property
    def failed(self) -> int:
        """Requests that did not get 200; status 0 stands for no answer at all."""
        return self.total - self.codes[200]

    def milliseconds(self, percentile: float, *, since: float = 0.0) -> float:
        """A percentile of the times that answers took, of requests sent after `since` (time.monotonic)."""
        took = sorted(end - begin for begin, end, *_ in self.answered if begin >= since)
        return 1000 * took[min(len(took) - 1, int(len(took) * percentile / 100))] if took else float("nan")

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
        headers = {"content-type": "application/json"} | {key: value.format(number) for key, value in self.headers.items()}
        self._stop.wait(self.pause * number / self.count)  # else all would ask at the same moments
        while not self._stop.wait(self.pause):
            begin = time.monotonic()
            try:
                connection.request("POST", self.path, self.body, headers)
                response = connection.getresponse()
                text, status = response.read(), response.status
                version = response.headers.get("x-modelops-assigned")
                self.assigned[version] += 1
                if status != 200:
                    self.problems.append((status, text[:200]))
            except (OSError, http.client.HTTPException) as problem:
                status, version = 0, None
                self.problems.append((0, repr(problem)))
                connection.close()
            self.codes[status] += 1
            self.answered.append((begin, time.monotonic(), status, version))
