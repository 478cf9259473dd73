"""airflow_settings.yaml keeps Astro's keys and no password; the stack fills in its ports and passwords; POST, on 409 PATCH."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
import yaml

from include.lifecycle.errors import SettingsError
from include.settings import PROJECT_ROOT
from include.stack.airflow_config import airflow_options
from include.stack.airflow_settings import apply_settings, connection_body, read_settings_file
from include.stack.credentials import Credentials
from include.stack.layout import Layout
from include.stack.ports import Ports

FILE = PROJECT_ROOT / "airflow_settings.yaml"
KEYS = {
    "connections": {
        *("conn_id", "conn_type", "conn_host", "conn_schema", "conn_login", "conn_password"),
        *("conn_port", "conn_uri", "conn_extra"),
    },
    "pools": {"pool_name", "pool_slot", "pool_description"},
    "variables": {"variable_name", "variable_value"},
}


def test_only_astros_keys_and_no_password():
    content = read_settings_file(FILE)
    for section, rows in content.items():
        for row in rows:
            assert set(row) <= KEYS[section]
    assert not [row for row in content["connections"] if row.get("conn_password") or row.get("conn_uri")]


def test_own_servers_get_this_stacks_ports_and_passwords(credentials: Credentials):
    rows = {row["conn_id"]: row for row in read_settings_file(FILE)["connections"]}
    ports = Ports(postgres=20001, mlflow=20002, gateway=20003)
    database = connection_body(rows["production_db"], ports, credentials)
    assert (database["port"], database["login"]) == (20001, "production_reader")
    assert database["password"] == credentials.password("production_reader")
    assert connection_body(rows["mlflow"], ports, credentials)["port"] == 20002
    assert connection_body(rows["gateway"], ports, credentials)["port"] == 20003


def test_foreign_connections_are_taken_as_they_are(credentials: Credentials):
    row = {"conn_id": "slack", "conn_type": "http", "conn_host": "chat.example", "conn_extra": {"a": 1}}
    body = connection_body(row, Ports(), credentials)
    assert body == {"connection_id": "slack", "conn_type": "http", "host": "chat.example", "extra": '{"a": 1}'}


def test_what_exists_is_patched(credentials: Credentials):
    calls: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append((request.method, request.url.path))
        assert json.loads(request.content)
        return httpx.Response(409 if request.method == "POST" else 200, json={})

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://airflow") as client:
        applied = apply_settings(client, FILE, Ports(), credentials)
    assert applied == len(calls) / 2
    assert ("PATCH", "/api/v2/connections/production_db") in calls
    assert ("PATCH", "/api/v2/pools/training") in calls


def test_a_refusal_names_the_entry(credentials: Credentials):
    with (
        httpx.Client(
            transport=httpx.MockTransport(lambda _: httpx.Response(422, text="bad slot")), base_url="http://a"
        ) as client,
        pytest.raises(SettingsError, match="pools training: 422 bad slot"),
    ):
        apply_settings(client, FILE, Ports(), credentials)


@pytest.mark.parametrize("text", ["", "[]", "airflow", "a: {b: "])
def test_what_is_no_settings_file_is_named(tmp_path: Path, text: str):
    path = tmp_path / "airflow_settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"airflow_settings\.yaml"):
        read_settings_file(path)


def test_every_option_is_one_that_airflow_knows(layout: Layout):
    import airflow

    known = yaml.safe_load((Path(airflow.__file__).parent / "config_templates" / "config.yml").read_text())
    for section, options in airflow_options(layout, Ports()).items():
        assert not set(options) - set(known[section]["options"]), section
