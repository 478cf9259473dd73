"""The watchdog's gauges, handed on as it wrote them: which models are down, leases, its last look."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.exporter.families import Families
from include.lifecycle.rollout.watchdog.health import GAUGES


def add_watchdog(families: Families, gateway_dir: Path) -> None:
    """Add the families of `watchdog.prom`; SourceUnavailableError while there is none, or none that can be read."""
    path = gateway_dir / GAUGES
    try:
        for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
            families.take(family)
    except (OSError, ValueError) as problem:
        raise SourceUnavailableError(f"{path}: {problem}") from problem
