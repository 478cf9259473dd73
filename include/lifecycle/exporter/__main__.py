"""The exporter as a program, `python -m include.lifecycle.exporter`. Beside Airflow, not in it: it tells when Airflow is ill."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from include.lifecycle.errors import LifecycleError
from include.lifecycle.exporter.airflow_state import AirflowWatch
from include.lifecycle.exporter.scrape import Scraper
from include.lifecycle.exporter.server import MetricsServer
from include.lifecycle.exporter.targets import write_targets
from include.lifecycle.runtime import runtime
from include.serving.json_logs import log_as_json
from include.settings import Settings

log = logging.getLogger("exporter")
_TARGETS_EVERY = 2.0  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until TERM; exit code 2 when the settings cannot be used."""
    options = _parser().parse_args(arguments)
    log_as_json(None, None)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would tell each question to Airflow
    try:
        rt = runtime()
        airflow = AirflowWatch(rt.settings)
        scraper = Scraper(rt, airflow)
        if options.once:
            airflow.look()
            sys.stdout.write(scraper.exposition().decode())
            return 0
        server = MetricsServer((options.host, options.port), scraper.exposition, rt.settings.metrics.token)
    except LifecycleError as problem:
        log.error("%s", problem)
        return 2
    _serve(server, airflow, rt.settings)
    return 0


def _serve(server: MetricsServer, airflow: AirflowWatch, settings: Settings) -> None:
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    airflow.start()
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    log.info("metrics at http://%s:%d/metrics", *server.server_address[:2])
    while not ended.is_set():
        try:
            write_targets(settings.server_conf_dir, settings.metrics.targets)
        except OSError as problem:
            log.warning("Prometheus' targets cannot be written: %s", problem)
        ended.wait(_TARGETS_EVERY)
    airflow.stop()
    server.shutdown()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.lifecycle.exporter", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    parser.add_argument("--port", type=int, default=18600, help="port (default: 18600)")
    parser.add_argument("--once", action="store_true", help="print the metrics once instead of serving them")
    return parser


if __name__ == "__main__":
    sys.exit(main())
