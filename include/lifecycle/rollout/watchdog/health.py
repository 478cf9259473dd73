"""Which models have no healthy server, and since when: the P0 of a model that is down, told by journal and by gauges.

What restarts a dead server is supervisord; here it is only noticed, from the gateway's own health checks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from include.lifecycle.rollout.gateway.arms import pool_name
from include.lifecycle.rollout.gateway.envoy_config import ASSIGNED
from include.lifecycle.storage import write_whole

GAUGES = "watchdog.prom"
SILENT = "the gateway does not answer"
_DOWN = re.compile(r'^modelops_model_down\{model="([^"]+)"\} 1$', re.MULTILINE)


def served_models(directory: Path) -> dict[str, set[str]]:
    """Clusters by model that the routes in force may send to, from the gateway's file."""
    try:
        routes = json.loads((directory / "rds.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    found: dict[str, set[str]] = {}
    for config in routes["resources"]:
        for route in [one for host in config.get("virtual_hosts", []) for one in host.get("routes", [])]:
            for arm in route.get("route", {}).get("weighted_clusters", {}).get("clusters", []):
                headers = {one["header"]["key"]: one["header"]["value"] for one in arm.get("request_headers_to_add", [])}
                if ASSIGNED in headers:
                    found.setdefault(route["name"], set()).add(pool_name(route["name"], int(headers[ASSIGNED])))
    return found


@dataclass
class Health:
    """Since when each model is down (epoch seconds), and which outages were told."""

    down_since: dict[str, float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def look(self, models: Mapping[str, Collection[str]], healthy: Collection[str] | None, now: float) -> None:
        """Take in one look; `healthy` are the clusters with a healthy server, None when the gateway does not answer."""
        down = {model for model, clusters in models.items() if healthy is None or not set(clusters) & set(healthy)}
        self.down_since = {model: self.down_since.get(model, now) for model in down}

    def news(self, now: float, patience: float) -> tuple[list[tuple[str, float]], list[str]]:
        """Models that are down for `patience` seconds and were not told yet, with their seconds; and those that came back."""
        lasting = {model: now - since for model, since in self.down_since.items() if now - since >= patience}
        fresh = [(model, seconds) for model, seconds in sorted(lasting.items()) if model not in self.told]
        back = sorted(self.told - set(self.down_since))
        self.told = (self.told | set(lasting)) - set(back)
        return fresh, back


def told_before(directory: Path) -> set[str]:
    """Models that the gauges of an earlier process say are down: their outage was told, its end is still to be told."""
    try:
        text = (directory / GAUGES).read_text(encoding="utf-8")
    except FileNotFoundError:
        return set()
    return set(_DOWN.findall(text))


def write_gauges(
    directory: Path, health: Health, models: Collection[str], left: Mapping[str, float], returned: Collection[str], now: float
) -> None:
    """`watchdog.prom`, as node_exporter's textfile collector reads it; `left` are the leases' seconds by model."""
    samples = {
        ("modelops_model_down", "1 while no server of the model is healthy"): {
            model: float(model in health.told) for model in models
        },
        ("modelops_canary_lease_seconds", "seconds until the rollout's lease ends; negative: it lapsed"): left,
        ("modelops_watchdog_returned", "1 while the watchdog holds a version back"): dict.fromkeys(returned, 1.0),
    }
    lines = ["# HELP modelops_watchdog_last_look_timestamp_seconds wall time of the last look"]
    lines += ["# TYPE modelops_watchdog_last_look_timestamp_seconds gauge"]
    lines += [f"modelops_watchdog_last_look_timestamp_seconds {now:.3f}"]
    for (name, told), values in samples.items():
        lines += [f"# HELP {name} {told}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{model="{model}"}} {value:g}' for model, value in sorted(values.items())]
    write_whole(directory / GAUGES, "\n".join(lines) + "\n")
