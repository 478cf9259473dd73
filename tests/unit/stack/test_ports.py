"""Ports: settings before the stored file before defaults; taken ones are named with the setting that moves them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from include.lifecycle.errors import SettingsError
from include.lifecycle.rollout.targets.port_probe import is_free
from include.stack.ports import Ports, choose_free_ports, read_ports, refuse_taken, setting_of


def test_defaults_without_file_and_environment(tmp_path: Path):
    assert read_ports(tmp_path / "ports.json", {}) == Ports()


def test_stored_ports_are_used_again_and_the_environment_wins(tmp_path: Path):
    Ports(airflow=20001, mlflow=20002).write(tmp_path / "ports.json")
    ports = read_ports(tmp_path / "ports.json", {"MODELOPS_AIRFLOW_PORT": "20009", "MODELOPS_SERVER_PORTS": "21000-21099"})
    assert (ports.airflow, ports.mlflow, ports.servers, ports.server_range) == (20009, 20002, 21000, "21000-21099")


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "1.5"])
def test_what_is_no_port_is_refused_by_name(tmp_path: Path, text: str):
    with pytest.raises(SettingsError, match="MODELOPS_AIRFLOW_PORT"):
        read_ports(tmp_path / "ports.json", {"MODELOPS_AIRFLOW_PORT": text})


def test_a_taken_port_is_named_with_its_setting():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(SettingsError) as caught:
            refuse_taken(Ports(gateway=port), ["gateway"])
    assert str(port) in str(caught.value)
    assert "MODELOPS_GATEWAY_PORT" in str(caught.value)
    assert "by process" in str(caught.value)


def test_free_ports_differ_and_are_free():
    ports = choose_free_ports()
    single = [
        ports.postgres,
        ports.mlflow,
        ports.gateway,
        ports.gateway_admin,
        ports.airflow,
        ports.worker_log,
        ports.trigger_log,
    ]
    assert len(set(single)) == len(single)
    assert not set(single) & set(range(ports.servers, ports.servers + 100))
    assert all(is_free(port) for port in single)


def test_names_of_settings():
    assert setting_of("gateway_admin") == "MODELOPS_GATEWAY_ADMIN_PORT"
    assert setting_of("servers") == "MODELOPS_SERVER_PORTS"
