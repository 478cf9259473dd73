"""`python -m include.serving.server`: verify one version folder, load it, serve it on uvicorn until SIGTERM.

Exit codes: 0 stopped, 2 wrong options, 3 a digest differs, 4 the version cannot be served, 5 the port or folder is not usable,
6 its workers keep dying.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from include.lifecycle.errors import ArtefactDigestError, LifecycleError
from include.serving.json_logs import log_as_json, told_identity
from include.serving.options import parse_options
from include.serving.version_folder import read_spec, verify
from include.serving.workers import WorkerGroup

logger = logging.getLogger("include.serving")

EXIT_DIGEST, EXIT_VERSION, EXIT_PLACE = 3, 4, 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve as the arguments say; return the process's exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parse_options(given)
    log_as_json(*told_identity(options.directory))
    try:
        verify(options.directory, options.digest)
        if options.workers > 1 and options.listen_fd is None:
            return _lead(options, given)
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


def _lead(options: argparse.Namespace, given: list[str]) -> int:
    with _bind(options.host, options.port) as listener:
        logger.info("%d workers on port %d", options.workers, listener.getsockname()[1])
        return WorkerGroup(given, listener, options.workers).run()


def _serve(options: argparse.Namespace) -> int:
    # a row on two OpenMP threads costs ten times the CPU of one: they spin while they wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    listener = socket.socket(fileno=options.listen_fd) if options.listen_fd is not None else _bind(options.host, options.port)
    # the heavy imports come after the port is known to be free, and never into the parent of several workers
    from include.serving.access_log import AccessLog
    from include.serving.admission import Admission
    from include.serving.api_keys import KeyRing
    from include.serving.app import ModelApp
    from include.serving.engines import load_engine
    from include.serving.http_server import run_app
    from include.serving.inference import Inference
    from include.serving.metrics import ServerMetrics
    from include.serving.pii import hash_for
    from include.serving.prediction_log import LogLimits, PredictionLog
    from include.serving.protocol import RequestSchema
    from include.serving.replies import BodyLimits

    spec = read_spec(options.directory)
    keys = KeyRing(options.keys, spec.model) if options.keys is not None else None
    schema = RequestSchema.of(spec, options.max_rows, hash_for(spec, options.pii_key_file))
    engine = load_engine(options.directory, spec)
    metrics = ServerMetrics(spec, options.digest)
    admission = Admission(options.queue)
    limits = LogLimits(
        options.log_flush_seconds,
        buffer_rows=options.log_buffer_rows,
        segment_bytes=options.log_segment_bytes,
        segment_seconds=options.log_segment_seconds,
    )
    access = AccessLog(options.log_dir, spec.version)
    log = PredictionLog(options.log_dir, spec.version, metrics.log_dropped.inc, limits)
    try:
        inference = Inference(spec, engine, schema, metrics, log, admission, inline_rows=options.inline_rows)
        app = ModelApp(
            spec,
            schema,
            inference,
            metrics,
            admission,
            keys=keys,
            body=BodyLimits(options.max_body, options.body_within),
            access=access,
        )

        def ready() -> None:
            seconds = _seconds_since_start()
            metrics.startup.set(seconds)
            host, port = listener.getsockname()[:2]
            logger.info(
                "%s version %d (%s) on http://%s:%d after %.2f s", spec.model, spec.version, spec.engine, host, port, seconds
            )

        times = {"notice": options.drain_notice, "at_most": options.drain_at_most}
        run_app(app, listener, admission, metrics, **times, parent=options.parent_fd, ready=ready)
    finally:
        access.flush(everything=True)
        log.close()
    logger.info("stopped; the prediction log is closed")
    return 0


def _seconds_since_start() -> float:
    """Age of this process, the interpreter's own start included where the kernel tells it."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    except OSError:
        return time.process_time()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _bind(host: str, port: int) -> socket.socket:
    """Take the port before anything is loaded, so that a taken port is said at once; it listens when the model is ready."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


if __name__ == "__main__":
    sys.exit(main())
