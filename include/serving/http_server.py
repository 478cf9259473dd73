"""uvicorn for one ModelApp: what it accepts connections with, its tick once a second, and how it drains when it is to end.

SIGTERM: readiness says 503 at once and every answer closes its connection; after the notice the port closes; requests under
way are then waited for; last, the caller closes the prediction log.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from include.serving.admission import Admission
from include.serving.app import ModelApp
from include.serving.metrics import ServerMetrics

logger = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 3700  # longer than the gateway's idle timeout of an hour: only the gateway ends an idle connection
BACKLOG = 2048


class DrainingServer(uvicorn.Server):
    """A uvicorn server that gives `notice` seconds between the signal and the closing of its port."""

    def __init__(self, config: uvicorn.Config, admission: Admission, tick: Callable[[], None], notice: float) -> None:
        super().__init__(config)
        self._admission, self._tick, self._notice = admission, tick, notice
        self._close_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal ends the notice."""
        self.drain(0.0 if self._close_at is not None else self._notice)

    def drain(self, notice: float) -> None:
        """Say that the server is not ready, and close the port in `notice` seconds."""
        self._admission.draining = True
        self._close_at = time.monotonic() + notice
        logger.info("draining: the port closes in %g s, %d requests are under way", notice, self._admission.waiting)

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's look, ten times a second, whether to end."""
        if counter % 10 == 0:
            self._tick()
        if self._close_at is not None and time.monotonic() >= self._close_at:
            return True
        return await super().on_tick(counter)

    def watch_parent(self, handle: int) -> None:
        """Drain without notice when the process that holds the other end of this pipe is gone: nobody else would stop us."""

        def gone() -> None:
            asyncio.get_running_loop().remove_reader(handle)
            if not os.read(handle, 1):
                self.drain(0.0)

        asyncio.get_running_loop().add_reader(handle, gone)


def run_app(
    app: ModelApp,
    listener: socket.socket,
    admission: Admission,
    metrics: ServerMetrics,
    *,
    notice: float,
    at_most: float,
    parent: int | None = None,
    ready: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called once the port listens. Times in seconds."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(at_most)),
    )

    def tick() -> None:
        metrics.ready.set(0 if admission.draining else 1)
        metrics.refresh(admission.waiting)
        if app.access is not None:
            app.access.flush()

    server = DrainingServer(config, admission, tick, notice)

    async def serve() -> None:
        if parent is not None:
            server.watch_parent(parent)
        asyncio.get_running_loop().call_soon(lambda: _when_started(server, ready))
        await server.serve(sockets=[listener])

    # uvicorn takes these signals over while it serves and gives them back before the prediction log is closed
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve())


def _when_started(server: uvicorn.Server, ready: Callable[[], None]) -> None:
    if server.started:
        ready()
    elif not server.should_exit:
        asyncio.get_running_loop().call_later(0.005, _when_started, server, ready)
