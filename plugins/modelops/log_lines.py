"""Puts model and version on every line that a task logs: Airflow's task logs are JSON lines, which merge these."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from structlog.contextvars import bound_contextvars


def lines_about(model: str, told: Iterable[Any] = ()) -> AbstractContextManager[None]:
    """Within it each line carries `model_name` and `version`.

    The version is the one that a value of `told` (a task's arguments: earlier results) speaks of; None before there is one.
    """
    return bound_contextvars(model_name=model, version=_version(told))


def _version(told: Iterable[Any]) -> int | None:
    for one in told:
        version = one.get("version") if isinstance(one, dict) else None
        if isinstance(version, int):
            return version
    return None
