"""The exporter's HTTP server: `/metrics` for who shows the token, `/health` for the stack. One scrape at a time."""

from __future__ import annotations

import hmac
import logging
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from include.lifecycle.errors import SettingsError
from include.lifecycle.shared_secret import read_shared_secret

log = logging.getLogger(__name__)
_FRESH = 1.0  # seconds for which an answer is given again: two Prometheus servers are no second reading
_CONTENT = "text/plain; version=0.0.4; charset=utf-8"
_READ_WITHIN = 10.0  # seconds for a client to send its request


class MetricsServer(ThreadingHTTPServer):
    """Serves `exposition`'s text on (host, port).

    The token's file is read at each request, so that a new token needs no restart; without a usable one nobody is answered.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], exposition: Callable[[], bytes], token: Path) -> None:
        read_token(token)
        self._exposition, self._token = exposition, token
        self._lock = threading.Lock()
        self._last: tuple[float, bytes] = (-_FRESH, b"")
        super().__init__(address, _Handler)

    def refusal(self, authorization: str | None) -> HTTPStatus | None:
        """Why a caller gets nothing: 401 without a bearer token, 403 for a wrong one, 503 while there is none to compare with."""
        scheme, _, shown = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not shown:
            return HTTPStatus.UNAUTHORIZED
        try:
            wanted = read_token(self._token)
        except SettingsError as problem:
            log.error("%s", problem)
            return HTTPStatus.SERVICE_UNAVAILABLE
        return None if hmac.compare_digest(wanted.encode(), shown.strip().encode()) else HTTPStatus.FORBIDDEN

    def scrape(self) -> bytes:
        """The metrics, at most a second old."""
        with self._lock:
            at, body = self._last
            if time.monotonic() - at >= _FRESH:
                body = self._exposition()
                self._last = (time.monotonic(), body)
            return body


def read_token(file: Path) -> str:
    """The token in `file`; SettingsError when it cannot be read or is too short to protect anything."""
    return read_shared_secret(file, "MODELOPS_METRICS_TOKEN_FILE", "no metrics are told", what="token")


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = _READ_WITHIN

    def do_GET(self) -> None:
        """Answer `/health` to everybody, `/metrics` to who shows the token, 404 else."""
        path = self.path.partition("?")[0]
        if path == "/health":
            self._answer(HTTPStatus.OK, b"ok\n")
        elif path != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, b"there is /metrics and /health\n")
        elif (status := self.server.refusal(self.headers.get("authorization"))) is not None:
            self._answer(status, b"a bearer token is asked for, and the right one\n")
        else:
            self._answer(HTTPStatus.OK, self.server.scrape())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing of each scrape, unless somebody debugs."""
        log.debug(format, *arguments)

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", _CONTENT)
        self.send_header("Content-Length", str(len(body)))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)
