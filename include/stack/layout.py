"""Where the embedded stack keeps things: every file that it makes lies under one folder, `.local/` unless told otherwise."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from include.lifecycle.errors import SettingsError
from include.settings import PROJECT_ROOT

_LONGEST_SOCKET = 90  # the kernel's limit is 107 bytes, and supervisord adds its process id while it creates the socket


@dataclass(frozen=True)
class Layout:
    """Paths of one stack: `local` is its folder, `home` the tree whose Dags, plugins and models it runs."""

    local: Path
    home: Path = PROJECT_ROOT

    @classmethod
    def of(cls, local: Path | None = None, home: Path | None = None) -> Layout:
        """Build from explicit paths, else MODELOPS_LOCAL and MODELOPS_HOME, else the repository and its `.local/`."""
        tree = home or Path(os.environ.get("MODELOPS_HOME", PROJECT_ROOT))
        folder = local or Path(os.environ.get("MODELOPS_LOCAL", tree / ".local"))
        return cls(folder.expanduser().resolve(), tree.expanduser().resolve())

    @property
    def secrets(self) -> Path:
        """Folder (0700) of generated passwords and keys (0600)."""
        return self.local / "secrets"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data directory."""
        return self.local / "postgres"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME: task logs lie in its `logs/`."""
        return self.local / "airflow"

    @property
    def airflow_config(self) -> Path:
        """The generated airflow.cfg; among the secrets, since it holds the keys."""
        return self.secrets / "airflow.cfg"

    @property
    def airflow_passwords(self) -> Path:
        """SimpleAuthManager's `{user: password}`."""
        return self.secrets / "airflow-passwords.json"

    @property
    def artifacts(self) -> Path:
        """Folder from which MLflow serves artefacts."""
        return self.local / "mlflow-artifacts"

    @property
    def gateway(self) -> Path:
        """Folder of Envoy's bootstrap, routes and clusters."""
        return self.local / "gateway"

    @property
    def logs(self) -> Path:
        """Folder of one log per process."""
        return self.local / "logs"

    @property
    def storage(self) -> Path:
        """Folder of artefacts, snapshots, served versions and predictions."""
        return self.local / "data"

    @property
    def prometheus(self) -> Path:
        """Folder of Prometheus and Alertmanager: configurations, targets, data."""
        return self.local / "prometheus"

    @property
    def run(self) -> Path:
        """Folder of the demo's clock and summary."""
        return self.local / "run"

    @property
    def clock_file(self) -> Path:
        """The demo's shifted clock."""
        return self.run / "clock.json"

    @property
    def supervisor(self) -> Path:
        """Folder of supervisord's configuration, log and process id."""
        return self.local / "supervisor"

    @property
    def programs(self) -> Path:
        """Folder of one JSON file per program: what the launcher starts."""
        return self.supervisor / "programs"

    @property
    def server_conf(self) -> Path:
        """Folder that the rollout writes model servers' programs into."""
        return self.supervisor / "conf.d"

    @property
    def ports_file(self) -> Path:
        """The ports that this stack uses, so that the next start uses them again."""
        return self.local / "ports.json"

    @property
    def env_file(self) -> Path:
        """`modelops.env`: the addresses that include/settings.py reads; no secrets."""
        return self.local / "modelops.env"

    @property
    def socket(self) -> Path:
        """supervisord's unix socket; a deep folder gets a short path of its own, since socket paths are limited."""
        inside = self.supervisor / "supervisor.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET:
            return inside
        digest = hashlib.sha256(os.fsencode(self.local)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"modelops-{os.getuid()}-{digest}" / "s.sock"

    def create(self) -> None:
        """Make all folders; private are the secrets', the socket's, and those with rows of data: artefacts and predictions."""
        if "%" in str(self.local):
            raise SettingsError(f"{self.local}: supervisord cannot work in a folder with % in its name")
        try:
            self.local.mkdir(parents=True, exist_ok=True)
            for folder in (self.secrets, self.socket.parent, self.storage, self.artifacts):
                _make_private(folder)
            for folder in (self.airflow_home, self.logs, self.run, self.programs, self.server_conf):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise SettingsError(f"cannot create the stack's folders under {self.local}: {problem}") from problem

    def remove(self) -> None:
        """Delete what the stack made and nothing else, in case somebody pointed it at a folder with other things."""
        made = (self.secrets, self.postgres, self.airflow_home, self.artifacts, self.gateway, self.logs, self.storage, self.run)
        for folder in (*made, self.supervisor, self.prometheus):
            shutil.rmtree(folder, ignore_errors=True)
        if self.socket.parent != self.supervisor:
            shutil.rmtree(self.socket.parent, ignore_errors=True)
        for file in (self.ports_file, self.env_file, self.local / ".stack.lock"):
            file.unlink(missing_ok=True)
        with suppress(OSError):  # not empty: something else lives there
            self.local.rmdir()


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise SettingsError(f"{folder} belongs to user id {owner}, not to {os.geteuid()}: remove it or use another folder")
    folder.chmod(0o700)
