"""The demo's hold on its outside world: the clock file, and the replay as a child process that is ended whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from include.demo.episodes import Episode
from include.lifecycle.clock import ShiftedClock, read_clock, write_clock
from include.lifecycle.errors import SourceUnavailableError

_STOP_SECONDS = 20


def set_clock(path: Path, event_time: datetime, rate: float) -> None:
    """Event time is `event_time` now, and runs at `rate` event seconds per wall second from here on."""
    write_clock(path, ShiftedClock(datetime.now(UTC), event_time, rate))


def set_rate(path: Path, rate: float) -> None:
    """Event time goes on from where it is, faster or slower."""
    set_clock(path, read_clock(path).now(), rate)


@dataclass
class ReplayProcess:
    """The replay of one episode. `environment` names the stack (MODELOPS_*); `folder` gets a status file and a log."""

    home: Path
    environment: dict[str, str]
    episode: Episode
    share: float
    folder: Path
    _process: subprocess.Popen[bytes] | None = None
    _last: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Start the replay in a process group of its own, so that Ctrl-C reaches only the demo, which then ends it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._status.unlink(missing_ok=True)
        options = {"--episode": self.episode.number, "--share": self.share, "--status": self._status}
        arguments = [str(part) for pair in options.items() for part in pair]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "include.demo.replay", *arguments],
                cwd=self.home,
                env=os.environ | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def totals(self) -> dict[str, Any]:
        """The newest status (see replay.py); empty before the first."""
        if self._status.is_file():
            self._last = orjson.loads(self._status.read_bytes())
        return self._last

    def check(self) -> None:
        """Raise SourceUnavailableError with the end of its log when a started replay has ended by itself."""
        if self._process is not None and not self.running:
            said = self._log.read_text(encoding="utf-8", errors="replace").strip()[-1500:]
            raise SourceUnavailableError(
                f"the replay ended with exit code {self._process.returncode}: {said or 'no flights are left'}"
            )

    def stop(self) -> dict[str, Any]:
        """Let requests under way finish, end the process, and return the final counts."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None
        return self.totals()

    @property
    def _status(self) -> Path:
        return self.folder / "replay.json"

    @property
    def _log(self) -> Path:
        return self.folder / "replay.log"
