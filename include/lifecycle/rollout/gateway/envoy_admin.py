"""What the running Envoy says about itself through its admin port: the only proof that a weight is in force."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.rollout.gateway.arms import Split
from include.lifecycle.rollout.gateway.envoy_config import ASSIGNED, ROUTES
from include.serving.log_schema import ARM_HEADER, BASELINE, SHADOW

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
        found = self.split(model)
        return {} if found is None else found.weights

    def split(self, model: str) -> Split | None:
        """How the route table in force divides one model's requests; None when Envoy has no route for it."""
        return self.splits().get(model)

    def splits(self) -> dict[str, Split]:
        """The split in force of every model that Envoy has a route for."""
        config = self._route_config()
        hosts = [] if config is None else config["route_config"].get("virtual_hosts", [])
        routes = [route for host in hosts for route in host.get("routes", [])]
        return {one["name"]: _split_of(one["route"]) for one in routes if "weighted_clusters" in one.get("route", {})}

    def healthy_ports(self) -> dict[str, set[int]]:
        """Ports of the healthy hosts by cluster; an aggregate has none of its own."""
        return {name: {port for port, healthy in hosts.items() if healthy} for name, hosts in self._hosts().items()}

    def ports(self) -> dict[str, set[int]]:
        """Ports of all hosts by cluster, healthy or not."""
        return {name: set(hosts) for name, hosts in self._hosts().items()}

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

    def _hosts(self) -> dict[str, dict[int, bool]]:
        statuses = json.loads(self.get("/clusters?format=json")).get("cluster_statuses", [])
        return {one["name"]: dict(map(_port_and_health, one.get("host_statuses", []))) for one in statuses}

    def _route_config(self) -> dict[str, Any] | None:
        dump = self._dump("dynamic_route_configs")
        return next((one for one in dump if one.get("route_config", {}).get("name") == ROUTES), None)

    def _dump(self, resource: str) -> list[dict[str, Any]]:
        found = json.loads(self.get(f"/config_dump?resource={resource}"))
        return list(found.get("configs", []))


def _split_of(route: dict[str, Any]) -> Split:
    """The split that a route's JSON says; zeros are left out of it by Envoy."""
    weights: dict[int, int] = {}
    baseline = mirror = sticky = None
    for arm in route["weighted_clusters"]["clusters"]:
        told = {one["header"]["key"]: one["header"]["value"] for one in arm.get("request_headers_to_add", [])}
        version, percent = int(told[ASSIGNED]), int(arm.get("weight", 0))
        weights[version] = weights.get(version, 0) + percent
        if told.get(ARM_HEADER) == BASELINE:
            baseline = (version, percent)
    for policy in route.get("request_mirror_policies", []):
        version = int(policy["cluster"].removesuffix(f"-{SHADOW}").rpartition("-")[2])
        mirror = (version, int(policy["runtime_fraction"]["default_value"].get("numerator", 0)))
    for policy in route.get("hash_policy", []):
        sticky = str(policy["header"]["header_name"])
    return Split(weights, baseline, mirror, sticky)


def _port_and_health(host: dict[str, Any]) -> tuple[int, bool]:
    health = host.get("health_status", {})
    sick = any(health.get(flag) for flag in ("failed_active_health_check", "failed_outlier_check", "pending_active_hc"))
    return int(host["address"]["socket_address"]["port_value"]), not sick
