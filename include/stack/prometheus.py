"""Exporter, Prometheus and Alertmanager as programs of the stack, when MODELOPS_PROMETHEUS asks for them; off otherwise.

Their configurations are the shipped ones of docker/, with this stack's addresses, paths and tokens.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from include.lifecycle.errors import SettingsError
from include.lifecycle.storage import write_whole
from include.settings import PROJECT_ROOT
from include.settings_metrics import PROGRAMS, Runs

if TYPE_CHECKING:
    from include.stack.layout import Layout
    from include.stack.ports import Ports

OPTIONAL = ("exporter", "prometheus", "alertmanager")
_BINARIES = {"prometheus": ("prometheus",), "alertmanager": ("prometheus-alertmanager", "alertmanager")}
_SHIPPED = PROJECT_ROOT / "docker"
_KEPT = "15d"  # how long samples are kept: a stack on one machine; more belongs to a Prometheus of its own


def wanted(runs: Runs) -> tuple[str, ...]:
    """Names of the programs that `runs` asks for."""
    return {"none": (), "exporter": OPTIONAL[:1], "all": OPTIONAL}[runs]


def commands(layout: Layout, ports: Ports, runs: Runs) -> dict[str, list[str]]:
    """Command line by program; SettingsError when a binary is asked for and not installed."""
    names = wanted(runs)
    found = {"exporter": [sys.executable, "-m", "include.lifecycle.exporter", "--port", str(ports.exporter)]} if names else {}
    if runs != "all":
        return found
    home = layout.prometheus
    return found | {
        "prometheus": [
            _binary("prometheus"),
            f"--config.file={home / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--storage.tsdb.retention.time={_KEPT}",
            f"--web.listen-address=127.0.0.1:{ports.prometheus}",
        ],
        "alertmanager": [
            _binary("alertmanager"),
            f"--config.file={home / 'alertmanager.yml'}",
            f"--storage.path={home / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{ports.alertmanager}",
            "--cluster.listen-address=",  # one of them: nobody to gossip with
        ],
    }


def write(layout: Layout, ports: Ports, runs: Runs) -> tuple[str, ...]:
    """Write the configurations that are asked for; return the programs' names."""
    if runs == "all":
        layout.prometheus.mkdir(parents=True, exist_ok=True)
        configs = {"prometheus.yml": prometheus_config(layout, ports), "alertmanager.yml": alertmanager_config(layout, ports)}
        for name, config in configs.items():
            write_whole(layout.prometheus / name, yaml.safe_dump(config, sort_keys=False, width=1000))
    return wanted(runs)


def environment(ports: Ports, known: dict[str, str]) -> dict[str, str]:
    """Where rollouts ask for their own metrics, once the stack runs a Prometheus."""
    return {"MODELOPS_PROMETHEUS_URL": f"http://127.0.0.1:{ports.prometheus}"} if known.get(PROGRAMS) == "1" else {}


def health_url(program: str, ports: Ports) -> str:
    """Where an optional program tells that it is ready."""
    path = "health" if program == "exporter" else "-/ready"
    return f"http://127.0.0.1:{getattr(ports, program)}/{path}"


def prometheus_config(layout: Layout, ports: Ports) -> dict[str, Any]:
    """docker/prometheus/prometheus.yml for this stack."""
    config = _shipped("prometheus/prometheus.yml")
    config["rule_files"] = [str(_SHIPPED / "prometheus" / "rules" / "*.yml")]
    _point(config["alerting"]["alertmanagers"][0], ports.alertmanager)
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    _point(jobs["modelops"], ports.exporter)
    _point(jobs["gateway"], ports.gateway_admin)
    jobs["modelops"]["authorization"]["credentials_file"] = str(layout.secrets / "metrics-token")
    jobs["model-servers"]["file_sd_configs"][0]["files"] = [str(layout.prometheus / "targets" / "*.json")]
    return config


def alertmanager_config(layout: Layout, ports: Ports) -> dict[str, Any]:
    """docker/alertmanager/alertmanager.yml for this stack: Airflow's address, and the token that it is shown."""
    config = _shipped("alertmanager/alertmanager.yml")
    for hook in [hook for receiver in config["receivers"] for hook in receiver.get("webhook_configs", [])]:
        path = hook["url"].partition("/modelops/")[2]
        hook["url"] = f"http://127.0.0.1:{ports.airflow}/modelops/{path}"
        hook["http_config"]["authorization"]["credentials_file"] = str(layout.secrets / "alert-webhook")
    return config


def _shipped(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((_SHIPPED / name).read_text(encoding="utf-8"))
    return config


def _point(job: dict[str, Any], port: int) -> None:
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]


def _binary(program: str) -> str:
    for name in _BINARIES[program]:
        if path := shutil.which(name):
            return str(Path(path))
    names = " or ".join(_BINARIES[program])
    raise SettingsError(
        f"{PROGRAMS}=1 asks for {program}, and there is no {names} on PATH: apt-get install prometheus prometheus-alertmanager"
    )
