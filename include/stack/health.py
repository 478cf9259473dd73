"""Whether each part of the stack does its work, asked from outside: the same questions an operator would ask."""

from __future__ import annotations

from typing import Any

import httpx

from include.stack.credentials import Credentials
from include.stack.databases import answers
from include.stack.ports import Ports

_AIRFLOW_PARTS = {
    "scheduler": "scheduler",
    "triggerer": "triggerer",
    "dag-processor": "dag_processor",
    "api-server": "metadatabase",
}


def probe(program: str, ports: Ports, credentials: Credentials) -> bool:
    """Whether `program` (as supervisord names it) is healthy now; never raises."""
    if program == "postgres":
        return answers(credentials, ports.postgres)
    if program == "mlflow":
        return _is_ok(f"http://127.0.0.1:{ports.mlflow}/health")
    if program == "gateway":
        return _is_ok(f"http://127.0.0.1:{ports.gateway_admin}/ready")
    return _AIRFLOW_PARTS[program] in healthy_airflow_parts(ports)


def healthy_airflow_parts(ports: Ports) -> set[str]:
    """Parts that Airflow's own monitor calls healthy: metadatabase, scheduler, triggerer, dag_processor."""
    try:
        body: dict[str, Any] = httpx.get(f"http://127.0.0.1:{ports.airflow}/api/v2/monitor/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return set()
    return {part for part, state in body.items() if isinstance(state, dict) and state.get("status") == "healthy"}


def _is_ok(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
