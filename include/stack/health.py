"""Whether each part of the stack does its work, asked from outside: the same questions an operator would ask."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import httpx

from include.lifecycle.rollout.watchdog.health import GAUGES
from include.stack import evidently_ui
from include.stack.credentials import Credentials
from include.stack.databases import answers
from include.stack.layout import Layout
from include.stack.ports import Ports
from include.stack.prometheus import OPTIONAL, health_url

_WATCHDOG_SILENCE = 15.0  # seconds without a look, after which the watchdog counts as ill


def probe(program: str, ports: Ports, credentials: Credentials, since: float, layout: Layout) -> bool:
    """Whether `program` (as supervisord names it) is healthy now; never raises.

    `since` (Unix seconds) is when its process started: an older heartbeat is its predecessor's and proves nothing.
    """
    if program == "watchdog":
        return _looked(layout, since)
    if program == "postgres":
        return answers(credentials, ports.postgres)
    if program == "mlflow":
        return _is_ok(f"http://127.0.0.1:{ports.mlflow}/health")
    if program == "gateway":
        return _is_ok(f"http://127.0.0.1:{ports.gateway_admin}/ready")
    if program in (*OPTIONAL, evidently_ui.NAME):
        return _is_ok(health_url(program, ports) if program in OPTIONAL else evidently_ui.health_url(ports))
    return _airflow_is_healthy(program, airflow_health(ports), since)


def airflow_health(ports: Ports) -> dict[str, dict[str, Any]]:
    """What Airflow's own monitor says of metadatabase, scheduler, triggerer and dag_processor; empty when it does not answer."""
    try:
        body: dict[str, Any] = httpx.get(f"http://127.0.0.1:{ports.airflow}/api/v2/monitor/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return {part: state for part, state in body.items() if isinstance(state, dict)}


def _airflow_is_healthy(program: str, parts: dict[str, dict[str, Any]], since: float) -> bool:
    if program == "api-server":
        return parts.get("metadatabase", {}).get("status") == "healthy"
    part = program.replace("-", "_")
    state = parts.get(part, {})
    beat = str(state.get(f"latest_{part}_heartbeat") or "1970-01-01T00:00:00Z")
    return state.get("status") == "healthy" and datetime.fromisoformat(beat).timestamp() > since


def _looked(layout: Layout, since: float) -> bool:
    """Whether the watchdog wrote its gauges lately: it does so at each look."""
    try:
        looked = (layout.gateway / GAUGES).stat().st_mtime
    except FileNotFoundError:
        return False
    return looked > since and time.time() - looked < _WATCHDOG_SILENCE


def _is_ok(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
