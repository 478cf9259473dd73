"""What the running Envoy says about itself through its admin port: the only proof that a weight is in force."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.rollout.envoy_config import ASSIGNED, ROUTES

_TIMEOUT = 2.0


@dataclass(frozen=True)
class EnvoyAdmin:
    """Reads the admin interface at `url` (http://host:port)."""

    url: str

    def get(self, path: str, *, method: str = "GET") -> bytes:
        """Body of one admin page; SourceUnavailableError when Envoy does not answer."""
        request = Request(f"{self.url}{path}", method=method)  # noqa: S310 - loopback address from settings
        try:
            with urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
                return bytes(response.read())
        except (HTTPError, URLError, OSError) as problem:
            raise SourceUnavailableError(f"gateway admin {self.url}{path} did not answer: {problem}") from problem

    def reopen_logs(self) -> None:
        """Have Envoy open its access log by name again, after the file was renamed."""
        self.get("/reopen_logs", method="POST")

    def routes_version(self) -> str | None:
        """`version_info` of the route table in force, None before the first one."""
        found = self._route_config()
        return None if found is None else str(found.get("version_info", ""))

    def weights(self, model: str) -> dict[int, int]:
        """Percent by version in force for one model; empty when Envoy has no route for it."""
        config = self._route_config()
        hosts = [] if config is None else config["route_config"].get("virtual_hosts", [])
        routes = [route for host in hosts for route in host.get("routes", []) if route.get("name") == model]
        arms = [arm for route in routes for arm in route["route"]["weighted_clusters"]["clusters"]]
        return {_version_of(arm): int(arm.get("weight", 0)) for arm in arms}

    def healthy_clusters(self) -> set[str]:
        """Clusters that are warmed up and have at least one healthy host; an aggregate counts by existing."""
        statuses = json.loads(self.get("/clusters?format=json")).get("cluster_statuses", [])
        return {one["name"] for one in statuses if not one.get("host_statuses") or any(map(_healthy, one["host_statuses"]))}

    def active_clusters(self) -> set[str]:
        """Clusters that may receive traffic (not those that still warm up)."""
        dump = self._dump("dynamic_active_clusters")
        return {one["cluster"]["name"] for one in dump}

    def counter(self, name: str) -> int:
        """One counter's value; 0 when it does not exist yet."""
        text = self.get(f"/stats?filter=^{name}$").decode()
        return int(text.rpartition(":")[2]) if ":" in text else 0

    def rejections(self) -> int:
        """Updates that Envoy refused so far, of routes, clusters and endpoints, malformed files included."""
        text = self.get("/stats?filter=update_(rejected|failure)$").decode()
        return sum(int(line.rpartition(":")[2]) for line in text.splitlines() if ":" in line)

    def _route_config(self) -> dict[str, Any] | None:
        dump = self._dump("dynamic_route_configs")
        return next((one for one in dump if one.get("route_config", {}).get("name") == ROUTES), None)

    def _dump(self, resource: str) -> list[dict[str, Any]]:
        found = json.loads(self.get(f"/config_dump?resource={resource}"))
        return list(found.get("configs", []))


def _version_of(arm: dict[str, Any]) -> int:
    headers = {one["header"]["key"]: one["header"]["value"] for one in arm.get("request_headers_to_add", [])}
    return int(headers[ASSIGNED])


def _healthy(host: dict[str, Any]) -> bool:
    health = host.get("health_status", {})
    return not any(health.get(flag) for flag in ("failed_active_health_check", "failed_outlier_check", "pending_active_hc"))
