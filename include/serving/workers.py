"""Several workers on one port: the parent binds it, starts them, replaces the ones that die, and passes SIGTERM on.

One listening socket for all, inherited, and not SO_REUSEPORT: with that a second server would share a taken port without a word,
and a worker's death would drop the connections that wait for it. Standard library only: the parent stays small.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
FINAL = (2, 3, 4, 5)  # exit codes that another start would not change
_SOON_SECONDS, _SOON_DEATHS = 5.0, 5  # so many deaths in a row, each so soon after its start, and it is given up
EXIT_WORKERS = 6


class WorkerGroup:
    """The workers of one server. `arguments` are the server's own command line."""

    def __init__(self, arguments: Sequence[str], listener: socket.socket, count: int) -> None:
        self._count, self._listener = count, listener
        self._stopping = False
        self._running: dict[int, float] = {}
        self._soon = 0
        self._pipe = os.pipe()  # the workers hold the reading end: it ends when this process does, however that is
        for handle in (listener.fileno(), self._pipe[0]):
            os.set_inheritable(handle, True)
        handles = ["--listen-fd", str(listener.fileno()), "--parent-fd", str(self._pipe[0])]
        self._command = [sys.executable, "-m", "include.serving.server", *arguments, *handles]
        self._metrics = Path(tempfile.mkdtemp(prefix="modelops-metrics-"))

    def run(self) -> int:
        """Keep the workers until SIGTERM or SIGINT; the exit code: 0 stopped, a worker's own when it is final, 6 given up."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        try:
            for _ in range(self._count):
                self._start()
            return self._watch()
        finally:
            shutil.rmtree(self._metrics, ignore_errors=True)

    def _start(self) -> None:
        environment = os.environ | {METRICS_DIR: str(self._metrics)}
        pid = os.posix_spawn(self._command[0], self._command, environment)
        self._running[pid] = time.monotonic()
        if self._stopping:  # the signal came while this one was started
            os.kill(pid, signal.SIGTERM)

    def _stop(self) -> None:
        self._stopping = True
        self._listener.close()  # else the port would take connections for as long as requests under way are waited for
        for pid in list(self._running):
            os.kill(pid, signal.SIGTERM)

    def _watch(self) -> int:
        code = 0
        while self._running:
            pid, status = os.wait()
            if pid not in self._running:  # in a container this process is everybody's heir
                continue
            lived = time.monotonic() - self._running.pop(pid)
            ended = os.waitstatus_to_exitcode(status)
            self._forget(pid)
            if self._stopping:
                code = code or max(ended, 0)
            elif ended in FINAL or self._given_up(pid, ended, lived):
                code = ended if ended in FINAL else EXIT_WORKERS
                self._stop()
            else:
                self._start()
        return code

    def _given_up(self, pid: int, code: int, lived: float) -> bool:
        """Whether workers die so soon and so often that starting them is of no use; waits a little before the next start."""
        self._soon = self._soon + 1 if lived < _SOON_SECONDS else 0
        logger.error("worker %d ended with code %d after %.1f s; another one is started", pid, code, lived)
        if self._soon > 1:
            time.sleep(0.2 * self._soon)
        return self._soon >= _SOON_DEATHS

    def _forget(self, pid: int) -> None:
        """Take the dead worker's gauges out of the sums; its counters stay in them."""
        for file in self._metrics.glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)
