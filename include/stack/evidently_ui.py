"""Evidently's own UI on the snapshots that `monitoring.workspace: true` keeps; a program of the stack when MODELOPS_EVIDENTLY=1.

`python -m include.stack.evidently_ui --port 18603 --workspace FOLDER --secret-file FILE`. It listens on loopback. Whoever reaches
the port may read; writing asks for the secret, which stands in a file since others see arguments.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.lifecycle.monitoring.workspace import FOLDER

if TYPE_CHECKING:
    from include.stack.layout import Layout
    from include.stack.ports import Ports

NAME = "evidently"
SECRET = "evidently-ui"  # noqa: S105 - a file's name


def command(layout: Layout, ports: Ports) -> list[str]:
    """Command line of the program."""
    module = [sys.executable, "-m", "include.stack.evidently_ui", "--port", str(ports.evidently)]
    return [*module, "--workspace", str(layout.storage / FOLDER), "--secret-file", str(layout.secrets / SECRET)]


def health_url(ports: Ports) -> str:
    """Where it tells that it is there."""
    return f"http://127.0.0.1:{ports.evidently}/api/version"


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m include.stack.evidently_ui", description="Evidently's UI on a workspace")
    parser.add_argument("--port", type=int, required=True, help="on 127.0.0.1")
    parser.add_argument("--workspace", type=Path, required=True, help="folder; made when it is not there")
    parser.add_argument("--secret-file", type=Path, required=True, help="holds what a writer must show")
    options = parser.parse_args(arguments)
    os.environ["DO_NOT_TRACK"] = "1"  # Evidently would tell its makers of each start
    from evidently.ui.service.app import get_config, run

    options.workspace.mkdir(parents=True, exist_ok=True)
    secret = options.secret_file.read_text(encoding="utf-8").strip()
    run(get_config(host="127.0.0.1", port=options.port, workspace=str(options.workspace), secret=secret))


if __name__ == "__main__":
    main()
