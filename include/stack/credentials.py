"""Generated passwords and keys of one stack: one private file each, made once; password files in the form each program reads.

A program gets the file that holds what it needs and nothing else; no secret is an argument or an environment variable.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from include.stack.layout import Layout

ROLES = ("postgres", "airflow", "mlflow", "modelops", "optuna", "production", "production_reader")
USERS = {"admin": "admin", "ann": "op", "bob": "op", "vic": "viewer"}
_PASSFILES = {
    "pgpass": ("airflow", "modelops", "optuna", "production"),  # Airflow's components, their tasks, the demo's loader
    "pgpass-mlflow": ("mlflow",),
    "pgpass-admin": ROLES,  # the stack itself and people with psql
}


@dataclass(frozen=True)
class Credentials:
    """Access to the secrets' folder."""

    layout: Layout

    @property
    def passfile(self) -> Path:
        """libpq's password file of Airflow, its tasks and the command line."""
        return self.layout.secrets / "pgpass"

    @property
    def mlflow_passfile(self) -> Path:
        """libpq's password file of the MLflow server."""
        return self.layout.secrets / "pgpass-mlflow"

    def password(self, role: str) -> str:
        """Password of a database role."""
        return self._secret(f"postgres-{role}", lambda: secrets.token_urlsafe(24))

    def airflow_password(self, user: str) -> str:
        """Password of an Airflow user; KeyError when there is no such user."""
        return str(json.loads(self.layout.airflow_passwords.read_text(encoding="utf-8"))[user])

    def fernet_key(self) -> str:
        """Key under which Airflow stores connections and trigger arguments (32 bytes, base64)."""
        return self._secret("fernet-key", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())

    def token(self, name: str) -> str:
        """A random key of 64 bytes, as text."""
        return self._secret(name, lambda: secrets.token_urlsafe(64))

    def write(self, postgres_port: int) -> None:
        """Make what is missing, and the password files for a server on `postgres_port`."""
        for name, roles in _PASSFILES.items():
            lines = [f"127.0.0.1:{postgres_port}:*:{role}:{self.password(role)}" for role in roles]
            write_private(self.layout.secrets / name, "\n".join(lines) + "\n")
        known = {}
        if self.layout.airflow_passwords.is_file():
            known = json.loads(self.layout.airflow_passwords.read_text(encoding="utf-8"))
        users = {user: known.get(user) or secrets.token_urlsafe(12) for user in USERS}
        self.token("alert-webhook")  # Alertmanager shows it as its bearer token
        self.token("metrics-token")  # Prometheus shows it to the exporter
        self.token("evidently-ui")  # whoever writes through Evidently's UI shows it
        self.token("pii-key")  # columns with personal data are hashed under it
        write_private(self.layout.airflow_passwords, json.dumps(users, indent=2) + "\n")

    def _secret(self, name: str, make: Callable[[], str]) -> str:
        path = self.layout.secrets / name
        if not path.is_file():
            write_private(path, make())
        return path.read_text(encoding="utf-8")


def write_private(path: Path, text: str) -> None:
    """Replace `path` in one step by a file that only its owner may read (0600)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)
