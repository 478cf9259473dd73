"""The demo's outside world, as a process of its own: clients that ask for predictions, and an airline that records what happened.

`python -m include.demo.replay --episode N --share S --status FILE` follows the demo's clock: each flight of the sample is sent to
the gateway once, at its scheduled departure; flights and arrivals enter `production` at their time. Ends on SIGTERM or with its
parent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from include.demo.data import production_url
from include.demo.episodes import Episode
from include.demo.flights import UpcomingFlight, bring_until, in_sample, request_body, upcoming_flights
from include.demo.gateway_client import Answer, GatewayClient
from include.lifecycle.clock import read_clock
from include.lifecycle.errors import LifecycleError, SettingsError, SourceUnavailableError
from include.lifecycle.loading import load_model
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import write_whole
from include.settings import Settings, load_settings

MODEL = "flight_delay"
_AHEAD = timedelta(hours=12)  # of event time that is read at once
_TICK = 0.25  # wall seconds between two looks at what has happened
_LONGEST_WAIT = 0.2  # wall seconds; the clock may be set anew meanwhile
_IN_FLIGHT = 32  # requests at a time; beyond it the replay falls behind instead of drowning the machine


@dataclass
class Tally:
    """What the clients saw so far; written to the status file once a second."""

    sent: int = 0
    failed: int = 0
    answered_by: Counter[str] = field(default_factory=Counter)
    last_failure: str = ""
    rows_brought: Counter[str] = field(default_factory=Counter)
    lag_seconds: float = 0.0

    def add(self, answer: Answer) -> None:
        """Count one request by its answer."""
        self.sent += 1
        if answer.ok:
            self.answered_by[answer.version] += 1
        else:
            self.failed += 1
            self.last_failure = answer.problem

    def write(self, path: Path, state: str, event_time: datetime) -> None:
        """Replace the status file. `lag_seconds` is wall time by which the newest request was late."""
        content = {
            "state": state,
            "pid": os.getpid(),
            "event_time": event_time.isoformat(),
            "sent": self.sent,
            "failed": self.failed,
            "answered_by": dict(self.answered_by),
            "last_failure": self.last_failure,
            "rows_brought": dict(self.rows_brought),
            "lag_seconds": round(self.lag_seconds, 3),
            "cpu_seconds": round(time.process_time(), 2),
        }
        write_whole(path, orjson.dumps(content))


@dataclass
class Replay:
    """One run of the replay: sends, brings and reports side by side until it is stopped or the episode's flights are over."""

    configured: Settings
    spec: ModelSpec
    clock_file: Path
    episode: Episode
    share: float
    status: Path
    tally: Tally = field(default_factory=Tally)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Run until stopped; requests under way are finished and counted."""
        parent = os.getppid()
        reporting = [asyncio.create_task(self._bring()), asyncio.create_task(self._report(parent))]
        try:
            await self._send_all()
        finally:
            self.stopping.set()
            await asyncio.gather(*reporting)
            self.tally.write(self.status, "stopped", self._now())

    async def _send_all(self) -> None:
        client = GatewayClient(self.configured.gateway_url)
        free = asyncio.Semaphore(_IN_FLIGHT)
        async with asyncio.TaskGroup() as requests:
            async for flight in self._due_flights():
                await free.acquire()
                task = requests.create_task(self._send(client, flight))
                task.add_done_callback(lambda _: free.release())
        await client.close()

    async def _send(self, client: GatewayClient, flight: UpcomingFlight) -> None:
        self.tally.add(await client.post(f"/v2/models/{self.spec.name}/infer", request_body(self.spec, flight)))

    async def _due_flights(self) -> AsyncIterator[UpcomingFlight]:
        """Flights of the sample, each when the clock reaches its departure; the next hours are read while these are sent."""
        start = self._now()
        following = asyncio.create_task(self._read(start))
        while start < self.episode.end and not self.stopping.is_set():
            flights = await following
            start += _AHEAD
            following = asyncio.create_task(self._read(start))
            for flight in flights:
                if await self._stopped_before(flight.event_time):
                    break
                yield flight
        following.cancel()

    async def _read(self, start: datetime) -> list[UpcomingFlight]:
        url, passfile = production_url(self.configured), self.configured.passfile
        while not self.stopping.is_set():
            try:
                flights = await asyncio.to_thread(upcoming_flights, self.spec, url, passfile, start, start + _AHEAD)
                return [flight for flight in flights if in_sample(flight.key, self.share)]
            except SourceUnavailableError as problem:
                _say(f"waiting for the database: {problem}")
                await self._pause(1.0)
        return []

    async def _stopped_before(self, moment: datetime) -> bool:
        """Wait for the clock to reach `moment`; True when the replay was stopped before."""
        while not self.stopping.is_set():
            clock = read_clock(self.clock_file)
            early = (moment - clock.now()).total_seconds() / clock.rate
            if early <= 0:
                self.tally.lag_seconds = -early
                break
            await self._pause(min(early, _LONGEST_WAIT))
        return self.stopping.is_set()

    def _now(self) -> datetime:
        return read_clock(self.clock_file).now()

    async def _bring(self) -> None:
        url, passfile = production_url(self.configured), self.configured.passfile
        while not self.stopping.is_set():
            try:
                self.tally.rows_brought.update(await asyncio.to_thread(bring_until, url, passfile, self._now()))
            except SourceUnavailableError as problem:
                _say(f"waiting for the database: {problem}")
                await self._pause(1.0)
            await self._pause(_TICK)

    async def _report(self, parent: int) -> None:
        while not self.stopping.is_set():
            self.tally.write(self.status, "running", self._now())
            if os.getppid() != parent:
                _say("the demo that started the replay is gone; stopping")
                self.stopping.set()
            await self._pause(1.0)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but wake at once when the replay is stopped."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return


def main(arguments: list[str]) -> int:
    """Run the replay of one episode; exit code 0 when it was stopped or came to the end, 1 when it could not run."""
    parser = argparse.ArgumentParser(prog="python -m include.demo.replay", description=__doc__)
    parser.add_argument("--episode", type=int, required=True, help="which playing of the year, from 1")
    parser.add_argument("--share", type=float, required=True, help="share of the flights that is sent, 0 to 1")
    parser.add_argument("--status", type=Path, required=True, help="JSON file with the counts, written once a second")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_main(options))
    except LifecycleError as problem:
        _say(f"error: {problem}")
        return 1
    return 0


async def _main(options: argparse.Namespace) -> None:
    configured = load_settings()
    if configured.clock_file is None:
        raise SettingsError("the replay needs the demo's clock: MODELOPS_CLOCK_FILE is not set")
    spec = load_model(MODEL, settings=configured)
    replay = Replay(configured, spec, configured.clock_file, Episode(options.episode), options.share, options.status)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, replay.stopping.set)
    await replay.run()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
