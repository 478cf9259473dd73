"""Pure rendering of Envoy's configuration (file xDS, v3 API) from the desired-traffic rows. Nothing here touches a file.

Facts about Envoy that shaped it: retries stay inside the chosen weighted cluster, so a canary arm is an aggregate [canary,
champion]; an aggregate has circuit breakers of its own; weights that do not sum to 100 are normalised silently; unknown clusters
are accepted unless `validate_clusters` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from include.lifecycle.rollout.traffic import DesiredTraffic

Json = dict[str, Any]
ASSIGNED = "x-modelops-assigned"
ROUTES = "models"
_TYPE = "type.googleapis.com/envoy"
_BREAKERS: Json = {
    "thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 1024}]
}


@dataclass(frozen=True)
class Timeouts:
    """How long the gateway waits: for a whole request with all its attempts, and for one attempt."""

    request: timedelta
    attempt: timedelta


def cluster_name(model: str, version: int) -> str:
    """Envoy cluster of one version's server."""
    return f"{model}-{version}"


def failover_name(model: str, version: int, champion: int) -> str:
    """Envoy aggregate cluster of an arm that falls back to the champion."""
    return f"{model}-{version}-or-{champion}"


def eds_file(directory: Path, cluster: str) -> Path:
    """File that holds a cluster's endpoints."""
    return directory / f"eds-{cluster}.json"


def version_info(rows: Iterable[DesiredTraffic]) -> str:
    """Sum of all models' revisions: each change of one row makes it grow, so it names one state of all rows."""
    return str(sum(row.revision for row in rows))


def render_clusters(rows: Iterable[DesiredTraffic], directory: Path) -> list[Json]:
    """CDS resources: a cluster per version that has a weight (also 0), and an aggregate per arm beside the champion."""
    clusters: list[Json] = []
    for row in rows:
        clusters += [_server_cluster(cluster_name(row.model, version), directory) for version in sorted(row.weights)]
        clusters += [_failover_cluster(row, version) for version in sorted(row.weights) if _fails_over(row, version)]
    return clusters


def render_endpoints(rows: Iterable[DesiredTraffic]) -> dict[str, list[Json]]:
    """EDS resources by cluster name."""
    return {
        cluster_name(row.model, version): [_endpoints(cluster_name(row.model, version), row.servers[version].port)]
        for row in rows
        for version in sorted(row.weights)
    }


def render_routes(rows: Iterable[DesiredTraffic], timeouts: Timeouts) -> list[Json]:
    """RDS resources: per model one route per pinned version and one that splits by weight; everything else is answered 404.

    The version stands in the metadata, too: Envoy skips an update whose content did not change and never reports its version.
    """
    rows, routes = list(rows), []
    for row in rows:
        routes += [_pinned_route(row, version, timeouts) for version in sorted(row.weights)]
        routes.append(_weighted_route(row, timeouts))
    return _route_configuration(routes, version_info(rows))


def empty_routes() -> list[Json]:
    """RDS resources of a gateway that serves no model yet."""
    return _route_configuration([], version_info([]))


def _route_configuration(of_models: list[Json], version: str) -> list[Json]:
    health = [_answer("/v2/health/live", 200, '{"live": true}'), _answer("/v2/health/ready", 200, '{"ready": true}')]
    routes = [*health, *of_models, _answer("/", 404, '{"error": "no model is served under this path"}')]
    host = {"name": "models", "domains": ["*"], "routes": routes}
    config = {"@type": f"{_TYPE}.config.route.v3.RouteConfiguration", "name": ROUTES, "validate_clusters": True}
    metadata = {"filter_metadata": {"modelops": {"version": version}}}
    return [config | {"metadata": metadata, "virtual_hosts": [host]}]


def _fails_over(row: DesiredTraffic, version: int) -> bool:
    return row.champion is not None and row.champion in row.weights and version != row.champion


def _server_cluster(name: str, directory: Path) -> Json:
    check = {"path": "/v2/health/ready", "expected_statuses": [{"start": 200, "end": 300}]}
    source = {"resource_api_version": "V3", "path_config_source": {"path": str(eds_file(directory, name))}}
    return {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "connect_timeout": "0.25s",
        "eds_cluster_config": {"service_name": name, "eds_config": source},
        "lb_policy": "LEAST_REQUEST",
        "ignore_health_on_host_removal": True,
        "circuit_breakers": _BREAKERS,
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_interval": "0.5s",
                "unhealthy_threshold": 3,
                "healthy_threshold": 1,
                "http_health_check": check,
            }
        ],
        "outlier_detection": {
            "consecutive_5xx": 5,
            "consecutive_gateway_failure": 5,
            "enforcing_consecutive_gateway_failure": 100,
            "interval": "1s",
            "base_ejection_time": "5s",
            "max_ejection_percent": 100,
            "always_eject_one_host": True,
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 2,
        },
        # With nobody healthy a request is still tried: a busy server that misses health checks answers more than none does.
        # A canary is not kept in play by this: its failover cluster goes by the health of its members.
        "common_lb_config": {"healthy_panic_threshold": {"value": 50}},
    }


def _failover_cluster(row: DesiredTraffic, version: int) -> Json:
    champion = row.champion or 0
    order = [cluster_name(row.model, version), cluster_name(row.model, champion)]
    return {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": failover_name(row.model, version, champion),
        "connect_timeout": "0.25s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _BREAKERS,
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {"@type": f"{_TYPE}.extensions.clusters.aggregate.v3.ClusterConfig", "clusters": order},
        },
    }


def _endpoints(cluster: str, port: int) -> Json:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "@type": f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }


def _answer(prefix: str, status: int, body: str) -> Json:
    answer = {"status": status, "body": {"inline_string": body}}
    header = {"header": {"key": "content-type", "value": "application/json"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {"match": {"prefix": prefix}, "name": "answer", "direct_response": answer, "response_headers_to_add": [header]}


def _pinned_route(row: DesiredTraffic, version: int, timeouts: Timeouts) -> Json:
    path = f"/v2/models/{row.model}/versions/{version}"
    action = {"cluster": cluster_name(row.model, version), **_patience(timeouts, failover=False)}
    return {"match": {"path_separated_prefix": path}, "name": f"{row.model}@{version}", "route": action}


def _weighted_route(row: DesiredTraffic, timeouts: Timeouts) -> Json:
    arms = []
    for version in sorted(row.weights, key=lambda one: (one != row.champion, one)):
        header = {"header": {"key": ASSIGNED, "value": str(version)}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        name = failover_name(row.model, version, row.champion or 0) if _fails_over(row, version) else None
        arms.append(
            {
                "name": name or cluster_name(row.model, version),
                "weight": row.weights[version],
                "request_headers_to_add": [header],
                "response_headers_to_add": [header],
            }
        )
    action = {"weighted_clusters": {"clusters": arms}, **_patience(timeouts, failover=len(row.weights) > 1)}
    return {"match": {"path_separated_prefix": f"/v2/models/{row.model}"}, "name": row.model, "route": action}


def _patience(timeouts: Timeouts, *, failover: bool) -> Json:
    """Timeout and retry policy of a route."""
    return {"timeout": _seconds(timeouts.request), "retry_policy": _retry_policy(timeouts.attempt, failover=failover)}


def _seconds(value: timedelta) -> str:
    """A duration as protobuf's JSON writes it: `10s`, `0.25s`."""
    return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"


def _retry_policy(attempt: timedelta, *, failover: bool) -> Json:
    """A prediction changes nothing, so any failed attempt may be repeated; the access log's `attempts` still tells on the arm."""
    hosts = {
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {"@type": f"{_TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
    }
    policy: Json = {
        "retry_on": "5xx,connect-failure,refused-stream,reset",
        "num_retries": 3,
        "per_try_timeout": _seconds(attempt),
        "retry_host_predicate": [hosts],
        "host_selection_retry_max_attempts": 3,
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
    }
    if failover:
        kind = f"{_TYPE}.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
        name = "envoy.retry_priorities.previous_priorities"
        policy["retry_priority"] = {"name": name, "typed_config": {"@type": kind, "update_frequency": 1}}
    return policy
