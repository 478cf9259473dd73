"""The static part of Envoy's configuration: listener, admin, access log; envoy_config.py renders the rest."""

from __future__ import annotations

from pathlib import Path

from include.lifecycle.rollout.gateway.envoy_config import ASSIGNED, ROUTES, Json
from include.serving.log_schema import ARM_HEADER

_TYPE = "type.googleapis.com/envoy"
LOG_FIELDS: Json = {
    "ts": "%START_TIME(%s.%6f)%",
    "id": "%REQ(X-REQUEST-ID)%",
    "model": "%ROUTE_NAME%",
    "assigned": f"%REQ({ASSIGNED})%",
    "arm": f"%REQ({ARM_HEADER})%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "host": "%UPSTREAM_HOST%",
    "code": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "ms": "%DURATION%",  # `us` is null when the client left before its answer
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "path": "%REQ(:PATH)%",
}


def render_bootstrap(directory: Path, *, port: int, admin_port: int, access_log: Path) -> Json:
    """The static part: one listener on loopback whose routes come from rds.json, clusters from cds.json, admin on loopback."""
    log = {"path": str(access_log), "log_format": {"json_format": LOG_FIELDS}}
    manager = {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "access_log": [
            {
                "name": "envoy.access_loggers.file",
                "typed_config": {"@type": f"{_TYPE}.extensions.access_loggers.file.v3.FileAccessLog", **log},
            }
        ],
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "rds": {"route_config_name": ROUTES, "config_source": _file_source(directory / "rds.json")},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {"name": "main", "address": _loopback(port), "filter_chains": [{"filters": filters}]}
    return {
        "node": {"id": "gateway", "cluster": "modelops"},
        "admin": {"address": _loopback(admin_port)},
        "dynamic_resources": {"cds_config": _file_source(directory / "cds.json")},
        "static_resources": {"listeners": [listener]},
    }


def _loopback(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _file_source(path: Path) -> Json:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}
