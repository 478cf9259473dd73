"""One scrape: every source asked apart, so that one which fails hides no other and is told by a metric of its own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from include.lifecycle.database import transaction
from include.lifecycle.errors import LifecycleError
from include.lifecycle.exporter.airflow_state import AirflowWatch
from include.lifecycle.exporter.families import Families
from include.lifecycle.exporter.host import add_host
from include.lifecycle.exporter.kpis import add_kpis
from include.lifecycle.exporter.rows import add_alerts, add_rollouts, add_signals, add_trainings
from include.lifecycle.exporter.specs import KnownSpecs
from include.lifecycle.exporter.watchdog_gauges import add_watchdog
from include.lifecycle.exporter.windows import NewestWindows, add_ages
from include.lifecycle.runtime import Runtime

log = logging.getLogger(__name__)
_PATIENCE = text("SET LOCAL statement_timeout = '5s'")


@dataclass
class Scraper:
    """What is kept between scrapes, and the one way to make a scrape's text."""

    rt: Runtime
    airflow: AirflowWatch | None = None
    specs: KnownSpecs = field(init=False)
    newest: NewestWindows = field(default_factory=NewestWindows)

    def __post_init__(self) -> None:
        self.specs = KnownSpecs(self.rt.settings)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format; never raises for a source that does not answer."""
        families, now = Families(), self.rt.clock.now()
        families.gauge("modelops_clock_timestamp_seconds", "event time by the clock of this installation", now.timestamp())
        for name, add in self._sources(now).items():
            self._ask(families, name, add)
        if self.airflow is not None:
            self.airflow.add(families)
        for model in self.specs.broken:
            families.gauge("modelops_model_yaml_broken", "1 for a model whose YAML is not valid", 1, model=model)
        return families.exposition()

    def _sources(self, now: datetime) -> dict[str, Callable[[Families], None]]:
        rows: dict[str, Callable[[Families, Connection], None]] = {
            "windows": self.newest.add,
            "ages": lambda families, connection: add_ages(families, connection, self.specs.read(), now),
            "signals": add_signals,
            "trainings": lambda families, connection: add_trainings(families, connection, now),
            "rollouts": add_rollouts,
            "alerts": lambda families, connection: add_alerts(families, connection, datetime.now(UTC)),
            "kpis": lambda families, connection: add_kpis(families, connection, now, self.specs.policy),
        }
        sources = {name: self._from_rows(add) for name, add in rows.items()}
        configured = self.rt.settings
        return sources | {
            "watchdog": lambda families: add_watchdog(families, configured.gateway_dir),
            "host": lambda families: add_host(families, configured.storage),
        }

    def _from_rows(self, add: Callable[[Families, Connection], None]) -> Callable[[Families], None]:
        def asked(families: Families) -> None:
            with transaction(self.rt.engine) as connection:
                connection.execute(_PATIENCE)
                add(families, connection)

        return asked

    def _ask(self, families: Families, name: str, add: Callable[[Families], None]) -> None:
        began, well = time.monotonic(), True
        try:
            add(families)
        except (LifecycleError, SQLAlchemyError, ArithmeticError, LookupError, OSError, TypeError, ValueError) as problem:
            log.warning("source %s: %s", name, problem)
            well = False
        families.gauge("modelops_exporter_source_up", "1 while this source could be read", well, source=name)
        text = "how long it took to read the source"
        families.gauge("modelops_exporter_source_seconds", text, time.monotonic() - began, source=name)
