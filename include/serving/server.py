"""`python -m include.serving.server`: verify one version folder, load it, serve it on uvicorn until SIGTERM.

Exit codes: 0 stopped, 3 a digest differs, 4 the version cannot be served, 5 the port or folder is not usable.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from include.lifecycle.errors import ArtefactDigestError, LifecycleError
from include.serving.app import ModelApp
from include.serving.engines import load_engine
from include.serving.metrics import ServerMetrics
from include.serving.pii import hash_for
from include.serving.prediction_log import LogLimits, PredictionLog
from include.serving.version_folder import read_spec, verify

logger = logging.getLogger("include.serving")

EXIT_DIGEST, EXIT_VERSION, EXIT_PLACE = 3, 4, 5
_KEEP_ALIVE_SECONDS = 3700  # longer than the gateway's idle timeout of an hour: only the gateway ends an idle connection
_DRAIN_SECONDS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve as the arguments say; return the process's exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        verify(options.directory, options.digest)
        return _serve(options)
    except ArtefactDigestError as problem:
        logger.error("ArtefactDigestError: %s", problem)
        return EXIT_DIGEST
    except LifecycleError as problem:
        logger.error("%s: %s", type(problem).__name__, problem)
        return EXIT_VERSION
    except OSError as problem:
        logger.error("cannot serve on %s:%d: %s", options.host, options.port, problem)
        return EXIT_PLACE


def _serve(options: argparse.Namespace) -> int:
    # a row on two OpenMP threads costs ten times the CPU of one: they spin while they wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    listener = _bind(options.host, options.port)
    spec = read_spec(options.directory)
    keyed = hash_for(spec, options.pii_key_file)
    engine = load_engine(options.directory, spec)
    metrics = ServerMetrics(spec, options.digest)
    limits = LogLimits(
        options.log_flush_seconds,
        buffer_rows=options.log_buffer_rows,
        segment_bytes=options.log_segment_bytes,
        segment_seconds=options.log_segment_seconds,
    )
    log = PredictionLog(options.log_dir, spec.version, metrics.log_dropped.inc, limits)
    try:
        app = ModelApp(spec, engine, metrics, log, keyed=keyed, max_rows=options.max_rows)
        logger.info("%s version %d (%s) on http://%s:%d", spec.model, spec.version, spec.engine, *listener.getsockname()[:2])
        _run(app, listener)
    finally:
        log.close()
    return 0


def _run(app: ModelApp, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    # uvicorn raises the signal that stopped it once more at its end: being stopped is no error, and the log is still to be closed
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before anything is loaded, so that a taken port is said at once; it listens when the model is ready."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="include.serving.server", description=__doc__)
    parser.add_argument(
        "--directory", type=Path, required=True, help="version folder with serving.json, manifest.json and the model"
    )
    parser.add_argument("--digest", required=True, help="sha256 of manifest.json")
    parser.add_argument("--port", type=int, required=True, help="TCP port; 0 takes a free one")
    parser.add_argument("--log-dir", type=Path, required=True, help="folder of the model's prediction log")
    parser.add_argument("--pii-key-file", type=Path, help="secret under which the version's hashed columns are hashed")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--max-rows", type=int, default=10_000, help="rows per request; more are refused with 413")
    usual = LogLimits()
    parser.add_argument("--log-flush-seconds", type=float, default=usual.flush_seconds, help="time between two writes of the log")
    parser.add_argument("--log-buffer-rows", type=int, default=usual.buffer_rows, help="rows that wait for a write at most")
    parser.add_argument("--log-segment-bytes", type=int, default=usual.segment_bytes, help="size at which a segment is closed")
    parser.add_argument("--log-segment-seconds", type=float, default=usual.segment_seconds, help="age at which one is closed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
