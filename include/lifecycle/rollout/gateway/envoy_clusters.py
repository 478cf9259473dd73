"""Pure rendering of Envoy's clusters and their endpoints (CDS and EDS, v3 API) from the desired-traffic rows.

Facts about Envoy that shaped it: retries stay inside the chosen weighted cluster, so an arm with a fallback is an aggregate of
both; an aggregate has circuit breakers of its own; a host that was just added counts as sick until its first health check.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from include.lifecycle.rollout.gateway.arms import Arm, Pool, arms_of, pools_of
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic

Json = dict[str, Any]
_TYPE = "type.googleapis.com/envoy"
_BREAKERS: Json = {
    "thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 1024}]
}
# A slow shadow may hold this many copies (each at most for the route's timeout); what comes beyond is not copied.
_SHADOW_BREAKERS: Json = {
    "thresholds": [{"max_connections": 64, "max_pending_requests": 64, "max_requests": 64, "max_retries": 0}]
}
# One healthy server in 32 keeps a pool's requests to itself. By Envoy's default (140 %) an arm with a server that is just being
# added would give three in ten of its requests to its fallback, which a rollout counts as the arm's failures.
_ENOUGH = 3200


def eds_file(directory: Path, cluster: str) -> Path:
    """File that holds a cluster's endpoints."""
    return directory / f"eds-{cluster}.json"


def render_clusters(rows: Iterable[DesiredTraffic], directory: Path) -> list[Json]:
    """CDS resources: a cluster per pool of servers, and an aggregate per arm that has a fallback."""
    clusters: list[Json] = []
    for row in rows:
        clusters += [_pool_cluster(pool, directory) for pool in pools_of(row)]
        clusters += [_failover_cluster(arm) for arm in arms_of(row) if arm.fallback is not None]
    return clusters


def render_endpoints(pools: Iterable[Pool]) -> dict[str, list[Json]]:
    """EDS resources by cluster name."""
    return {pool.name: [_endpoints(pool)] for pool in pools}


def endpoint_ports(resources: Iterable[Json]) -> tuple[int, ...]:
    """The ports that an endpoints file names, in its order: `render_endpoints` read backwards."""
    groups = [group for one in resources for group in one.get("endpoints", [])]
    hosts = [host["endpoint"]["address"]["socket_address"] for group in groups for host in group["lb_endpoints"]]
    return tuple(int(host["port_value"]) for host in hosts)


def _pool_cluster(pool: Pool, directory: Path) -> Json:
    source = {"resource_api_version": "V3", "path_config_source": {"path": str(eds_file(directory, pool.name))}}
    cluster: Json = {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": pool.name,
        "type": "EDS",
        "connect_timeout": "0.25s",
        "eds_cluster_config": {"service_name": pool.name, "eds_config": source},
        "lb_policy": "LEAST_REQUEST",
        "ignore_health_on_host_removal": True,
        "circuit_breakers": _SHADOW_BREAKERS if pool.shadow else _BREAKERS,
        "health_checks": [_health_check()],
        # With nobody healthy a request is still tried: a busy server that misses health checks answers more than none does.
        # A canary is not kept in play by this: its failover cluster goes by the health of its members.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
    }
    return cluster if pool.shadow else cluster | {"outlier_detection": _outliers()}


def _health_check() -> Json:
    return {
        "timeout": "2s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "unhealthy_interval": "0.5s",
        "unhealthy_threshold": 3,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/v2/health/ready", "expected_statuses": [{"start": 200, "end": 300}]},
    }


def _outliers() -> Json:
    """Servers that fail live requests are left out for a while. Not for shadows: each copy is to reach them."""
    return {
        "consecutive_5xx": 5,
        "consecutive_gateway_failure": 5,
        "enforcing_consecutive_gateway_failure": 100,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_percent": 100,
        "always_eject_one_host": True,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 2,
    }


def _failover_cluster(arm: Arm) -> Json:
    kind = f"{_TYPE}.extensions.clusters.aggregate.v3.ClusterConfig"
    members = {"@type": kind, "clusters": [arm.pool, arm.fallback]}
    return {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": arm.destination,
        "connect_timeout": "0.25s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _BREAKERS,
        "cluster_type": {"name": "envoy.clusters.aggregate", "typed_config": members},
    }


def _endpoints(pool: Pool) -> Json:
    addresses = [{"socket_address": {"address": "127.0.0.1", "port_value": port}} for port in pool.ports]
    return {
        "@type": f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": pool.name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}} for address in addresses]}],
        "policy": {"overprovisioning_factor": _ENOUGH},
    }
