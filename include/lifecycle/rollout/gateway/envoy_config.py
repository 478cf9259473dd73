"""Pure rendering of Envoy's routes (RDS, v3 API) from the desired-traffic rows: pinned versions, and one split per model.

Envoy normalises weights that do not sum to 100 silently, and takes unknown clusters unless `validate_clusters` is set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from include.lifecycle.rollout.gateway.arms import Arm, arms_of, pool_name, sticky_header
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic
from include.serving.log_schema import ARM_HEADER, LIVE, SHADOW, UNIT_HEADER

Json = dict[str, Any]
ASSIGNED = "x-modelops-assigned"
ROUTES = "models"
OUTSIDE = "outside"
"""Arm of a request that an experiment does not count: it lacks the header whose value decides. The champion answers it."""
BUFFERED = 32 * 1024 * 1024  # a larger body is neither repeated nor copied; the model server's own default limit
_TYPE = "type.googleapis.com/envoy"


@dataclass(frozen=True)
class Timeouts:
    """How long the gateway waits: for a whole request with all its attempts, and for one attempt."""

    request: timedelta
    attempt: timedelta


def version_info(rows: Iterable[DesiredTraffic]) -> str:
    """Sum of all models' revisions: each change of one row makes it grow, so it names one state of all rows."""
    return str(sum(row.revision for row in rows))


def render_routes(rows: Iterable[DesiredTraffic], timeouts: Timeouts) -> list[Json]:
    """RDS resources: per model one route per pinned version and one that splits; everything else is answered 404.

    The version stands in the metadata, too: Envoy skips an update whose content did not change and never reports its version.
    """
    rows, routes = list(rows), []
    for row in rows:
        routes += [_pinned_route(row, version, timeouts) for version in sorted(row.weights)]
        routes += _split_routes(row, timeouts)
    return _route_configuration(routes, version_info(rows))


def empty_routes() -> list[Json]:
    """RDS resources of a gateway that serves no model yet."""
    return _route_configuration([], version_info([]))


def _route_configuration(of_models: list[Json], version: str) -> list[Json]:
    health = [_answer("/v2/health/live", 200, '{"live": true}'), _answer("/v2/health/ready", 200, '{"ready": true}')]
    routes = [*health, *of_models, _answer("/", 404, '{"error": "no model is served under this path"}')]
    host = {"name": "models", "domains": ["*"], "routes": routes, "request_body_buffer_limit": BUFFERED}
    config = {"@type": f"{_TYPE}.config.route.v3.RouteConfiguration", "name": ROUTES, "validate_clusters": True}
    metadata = {"filter_metadata": {"modelops": {"version": version}}}
    return [config | {"metadata": metadata, "virtual_hosts": [host]}]


def _answer(prefix: str, status: int, body: str) -> Json:
    answer = {"status": status, "body": {"inline_string": body}}
    typed = [_header("content-type", "application/json")]
    return {"match": {"prefix": prefix}, "name": "answer", "direct_response": answer, "response_headers_to_add": typed}


def _header(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _pinned_route(row: DesiredTraffic, version: int, timeouts: Timeouts) -> Json:
    """One version by its own path: outside every arm, whatever headers a client sends."""
    path = f"/v2/models/{row.model}/versions/{version}"
    action = {"cluster": pool_name(row.model, version), **_patience(timeouts, failover=False)}
    route = {"match": {"path_separated_prefix": path}, "name": f"{row.model}@{version}", "route": action}
    return route | {"request_headers_to_remove": [ASSIGNED, ARM_HEADER, UNIT_HEADER]}


def _split_routes(row: DesiredTraffic, timeouts: Timeouts) -> list[Json]:
    """The route that divides a model's requests; with a sticky header, a second one for the requests that lack it."""
    arms = arms_of(row)
    sticky = sticky_header(row)
    action: Json = {"weighted_clusters": {"clusters": [_weighted(arm, sticky) for arm in arms]}}
    action |= _patience(timeouts, failover=any(arm.fallback for arm in arms))
    match: Json = {"path_separated_prefix": f"/v2/models/{row.model}"}
    if row.mirror is not None:
        action["request_mirror_policies"] = [_copies(row.model, row.mirror.version, row.mirror.percent)]
    if sticky is None or row.champion is None:
        return [{"match": match, "name": row.model, "route": action}]
    action["weighted_clusters"]["use_hash_policy"] = True
    action["hash_policy"] = [_hashed(sticky, f"{row.model}-{max(row.weights)}")]
    known = {"name": sticky, "string_match": {"safe_regex": {"regex": ".+"}}}
    split = {"match": match | {"headers": [known]}, "name": row.model, "route": action}
    return [split, _outside_route(row.model, row.champion, match, timeouts)]


def _weighted(arm: Arm, sticky: str | None) -> Json:
    """One arm. These headers are ours: what a client sends under their names is removed first."""
    told = [_header(ASSIGNED, str(arm.version))] + ([] if arm.kind == LIVE else [_header(ARM_HEADER, arm.kind)])
    unit = [] if sticky is None else [_header(UNIT_HEADER, f"%REQ({sticky})%")]
    return {
        "name": arm.destination,
        "weight": arm.percent,
        "request_headers_to_remove": [ARM_HEADER, UNIT_HEADER],
        "request_headers_to_add": [*told, *unit],
        "response_headers_to_add": told,
    }


def _copies(model: str, version: int, percent: int) -> Json:
    """Copies for a shadow: fire and forget. They keep the request id and the assigned version, and tell their arm."""
    mutation = {"append": _header(ARM_HEADER, SHADOW)}
    fraction = {"default_value": {"numerator": percent, "denominator": "HUNDRED"}}
    return {
        "cluster": pool_name(model, version, SHADOW),
        "runtime_fraction": fraction,
        "request_headers_mutations": [mutation],
        "disable_shadow_host_suffix_append": True,
    }


def _hashed(header: str, salt: str) -> Json:
    """Decide by the header's value. The salt gives each experiment other keys: else the same users met every challenger."""
    rewrite = {"pattern": {"regex": "^(.*)$"}, "substitution": f"{salt}:\\1"}
    return {"header": {"header_name": header, "regex_rewrite": rewrite}, "terminal": True}


def _outside_route(model: str, champion: int, match: Json, timeouts: Timeouts) -> Json:
    """Requests without a key are not part of the experiment: the champion answers them, and no arm counts them."""
    told = [_header(ARM_HEADER, OUTSIDE)]
    action = {"cluster": pool_name(model, champion), **_patience(timeouts, failover=False)}
    headers = {"request_headers_to_add": told, "response_headers_to_add": told}
    return {"match": match, "name": model, "route": action, "request_headers_to_remove": [ASSIGNED, UNIT_HEADER]} | headers


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
