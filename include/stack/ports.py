"""Which port each server listens on: settings, kept in `ports.json`; a taken port is named before anything starts."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from include.lifecycle.errors import SettingsError
from include.lifecycle.rollout.targets.port_probe import is_free

_FREE_RANGE = range(20_000, 32_000)  # below Linux's ephemeral ports, which outgoing connections take at any time
_SERVERS = 100


@dataclass(frozen=True)
class Ports:
    """One port per listener; model servers take theirs from `servers` to `servers + 99`."""

    postgres: int = 18432
    mlflow: int = 18500
    gateway: int = 18200
    gateway_admin: int = 18201
    airflow: int = 18080
    worker_log: int = 18793
    trigger_log: int = 18794
    exporter: int = 18600
    prometheus: int = 18601
    alertmanager: int = 18602
    evidently: int = 18603
    servers: int = 18300

    @property
    def server_range(self) -> str:
        """The model servers' ports as `first-last`."""
        return f"{self.servers}-{self.servers + _SERVERS - 1}"

    def write(self, path: Path) -> None:
        """Keep the ports for the next start."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def setting_of(name: str) -> str:
    """Name of the environment variable that sets a port: `airflow` -> `MODELOPS_AIRFLOW_PORT`."""
    return "MODELOPS_SERVER_PORTS" if name == "servers" else f"MODELOPS_{name.upper()}_PORT"


def read_ports(path: Path, environment: Mapping[str, str] | None = None) -> Ports:
    """Ports by the environment, else by `path`, else the defaults; raise SettingsError for a value that is no port."""
    given = os.environ if environment is None else environment
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    chosen = {name: int(value) for name, value in stored.items() if name in _names()}
    for name in _names():
        if text := given.get(setting_of(name)):
            chosen[name] = _port(setting_of(name), text.partition("-")[0])
    return Ports(**chosen)


def choose_free_ports() -> Ports:
    """Pick free ports, and a stretch of 100 for model servers, from below the ephemeral range."""
    names = [name for name in _names() if name != "servers"]
    picked: dict[str, int] = {}
    while len(picked) < len(names):
        port = random.choice(_FREE_RANGE)
        if port not in picked.values() and is_free(port):
            picked[names[len(picked)]] = port
    taken = set(picked.values())
    while True:
        first = random.randrange(_FREE_RANGE.start, _FREE_RANGE.stop - _SERVERS)
        stretch = range(first, first + _SERVERS)
        if not taken & set(stretch) and all(is_free(port) for port in stretch):
            return replace(Ports(**picked), servers=first)


def refuse_taken(ports: Ports, names: Collection[str]) -> None:
    """Raise SettingsError that names every port of `names` that another process holds, and the setting that moves it."""
    values = asdict(ports)
    taken = [name for name in names if not is_free(values[name])]
    if taken:
        lines = [f"port {values[name]} ({name}) is taken{_holder(values[name])}; set {setting_of(name)}" for name in taken]
        raise SettingsError("nothing was started:\n  " + "\n  ".join(lines) + "\n  (or take free ports for all: --free-ports)")


def _names() -> list[str]:
    return [field.name for field in fields(Ports)]


def _port(setting: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise SettingsError(f"{setting}={text}: a port is a number from 1 to 65535")
    return int(text)


def _holder(port: int) -> str:
    """Who listens on `port`, as far as this user may know."""
    import psutil

    try:
        owners = [
            c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN
        ]
        process = psutil.Process(next(pid for pid in owners if pid))
        return f" by process {process.pid} ({process.name()})"
    except (psutil.Error, StopIteration):
        return " by another process"
