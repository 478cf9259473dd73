"""Logs of our own processes: one JSON object per line on standard error, each with the model and version that it speaks of."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson

from include.serving.version_folder import VersionFolderInvalidError, read_spec


class JsonFormatter(logging.Formatter):
    """`timestamp` (UTC), `level`, `message`, `module`, `model_name`, `version`, `logger`, `pid`; `exception` where there is one.

    A process that is about many models names one by `extra={"model_name": ..., "version": ...}`.
    """

    def __init__(self, model: str | None, version: int | None) -> None:
        super().__init__()
        self._own = {"model_name": model, "version": version}

    def format(self, record: logging.LogRecord) -> str:
        """One line; line breaks of a traceback are escaped by JSON."""
        line: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "module": record.module,
            **{name: getattr(record, name, value) for name, value in self._own.items()},
            "logger": record.name,
            "pid": os.getpid(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def log_as_json(model: str | None, version: int | None) -> None:
    """Send every logger of this process, uvicorn's and warnings too, to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(model, version))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.captureWarnings(capture=True)


def told_identity(folder: Path) -> tuple[str | None, int | None]:
    """Model and version as the folder's serving.json tells them, verified or not: labels of log lines, nothing else."""
    try:
        spec = read_spec(folder)
    except VersionFolderInvalidError:
        return None, None
    return spec.model, spec.version
