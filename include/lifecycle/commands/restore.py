"""`cli restore MODEL VERSION --to FILE`: exactly the data that a version was trained from, verified by its content hash."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from include.lifecycle.commands.numbers import version_number
from include.lifecycle.errors import LifecycleError
from include.settings import Settings


def add_to(subparsers: Any) -> None:
    """Declare the command."""
    parser = subparsers.add_parser("restore", help="bring back the data that a version was trained from")
    parser.add_argument("model")
    parser.add_argument("version", type=version_number, help="MLflow's version number")
    parser.add_argument("--to", required=True, type=Path, metavar="FILE", help="Parquet file to write; must not exist yet")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Restore and say what was written."""
    from include.lifecycle.registry.training_data import restore_training_data
    from include.lifecycle.runtime import build_runtime

    destination = arguments.to.absolute()
    if destination.exists() or destination.is_symlink():
        raise LifecycleError(f"{arguments.to} exists already, and nothing is overwritten; name a new file by --to")
    rt = build_runtime(settings)
    _quiet_dvc()
    try:
        identity, size = restore_training_data(rt, arguments.model, arguments.version, destination)
    except OSError as problem:
        raise LifecycleError(f"{arguments.to} cannot be written: {problem}") from problem
    print(f"wrote {arguments.to}: training data of {arguments.model} version {arguments.version}, {size} bytes, md5 {identity}")
    return 0


def _quiet_dvc() -> None:
    """DVC reports its own steps on standard output; what fails is told by this command's message."""
    import dvc.logger

    dvc.logger.setup(logging.ERROR)
