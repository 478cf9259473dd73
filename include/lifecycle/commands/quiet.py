"""Keeps libraries that talk on standard output silent, so that it holds a command's answer only."""

from __future__ import annotations

import logging


def quiet_dvc() -> None:
    """DVC reports its own steps on standard output; what fails is told by the command's message."""
    import dvc.logger

    dvc.logger.setup(logging.ERROR)
