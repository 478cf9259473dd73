"""Applies airflow_settings.yaml (Astro's keys) to the running Airflow through its REST API: pools, variables, connections.

The file is the one home of local connections; what this stack knows better, its ports and generated passwords, is filled in here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import yaml

from include.lifecycle.errors import SettingsError, SourceUnavailableError
from include.stack.credentials import Credentials
from include.stack.ports import Ports

_CONNECTION_KEYS = {
    "conn_id": "connection_id",
    "conn_type": "conn_type",
    "conn_host": "host",
    "conn_schema": "schema",
    "conn_login": "login",
    "conn_password": "password",
    "conn_port": "port",
}


def airflow_client(url: str, user: str, password: str) -> httpx.Client:
    """An HTTP client of Airflow's REST API, logged in; raise SourceUnavailableError when Airflow refuses or does not answer."""
    try:
        answer = httpx.post(f"{url}/auth/token", json={"username": user, "password": password}, timeout=20)
        answer.raise_for_status()
        token = answer.json()["access_token"]
    except (httpx.HTTPError, KeyError, ValueError) as problem:
        raise SourceUnavailableError(f"cannot log in to Airflow at {url} as {user}: {problem}") from problem
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def read_settings_file(path: Path) -> dict[str, list[dict[str, Any]]]:
    """{pools, variables, connections} of an airflow_settings.yaml; raise SettingsError when it is not one."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))["airflow"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as problem:
        raise SettingsError(f"{path}: not an airflow_settings.yaml ({problem})") from problem
    return {section: list(content.get(section) or []) for section in ("pools", "variables", "connections")}


def apply_settings(client: httpx.Client, path: Path, ports: Ports, credentials: Credentials) -> int:
    """Create or update everything in the file, as `astro dev` does (POST, on 409 PATCH); return how many were applied."""
    content = read_settings_file(path)
    for pool in content["pools"]:
        body = {"name": pool["pool_name"], "slots": pool["pool_slot"], "description": pool.get("pool_description", "")}
        _put(client, "pools", body["name"], body | {"include_deferred": False})
    for variable in content["variables"]:
        if variable.get("variable_value"):
            body = {"key": variable["variable_name"], "value": variable["variable_value"]}
            _put(client, "variables", body["key"], body)
    for connection in content["connections"]:
        body = connection_body(connection, ports, credentials)
        _put(client, "connections", body["connection_id"], body)
    return sum(len(rows) for rows in content.values())


def connection_body(connection: dict[str, Any], ports: Ports, credentials: Credentials) -> dict[str, Any]:
    """Airflow's form of one connection, with this stack's ports and passwords where it is one of the stack's servers."""
    body = {ours: connection[key] for key, ours in _CONNECTION_KEYS.items() if connection.get(key)}
    if extra := connection.get("conn_extra"):
        body["extra"] = extra if isinstance(extra, str) else json.dumps(extra)
    if body["connection_id"] == "production_db":
        body |= {"host": "127.0.0.1", "port": ports.postgres, "password": credentials.password(body["login"])}
    elif body["connection_id"] in ("mlflow", "gateway"):
        body |= {"host": "127.0.0.1", "port": ports.mlflow if body["connection_id"] == "mlflow" else ports.gateway}
    return body


def _put(client: httpx.Client, kind: str, name: str, body: dict[str, Any]) -> None:
    try:
        answer = client.post(f"/api/v2/{kind}", json=body)
        if answer.status_code == httpx.codes.CONFLICT:
            answer = client.patch(f"/api/v2/{kind}/{name}", json=body)
    except httpx.HTTPError as problem:
        raise SourceUnavailableError(f"Airflow did not take {kind} {name}: {problem}") from problem
    if answer.is_error:
        raise SettingsError(f"airflow_settings.yaml: Airflow refused {kind} {name}: {answer.status_code} {answer.text[:300]}")
