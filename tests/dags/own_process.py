"""A Dag test's process works on the test's PostgreSQL: what an operator's Runtime is made of points there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from airflow.utils.db import initdb

from include.lifecycle.runtime import Runtime, runtime
from include.settings import settings
from tests.conftest import free_port


@contextmanager
def own_process(rt: Runtime, monkeypatch: pytest.MonkeyPatch, **more: str) -> Iterator[None]:
    """The process's own Runtime, on the test's PostgreSQL and without MLflow; `more`: further variables."""
    initdb()
    values = {
        "MODELOPS_DATABASE_URL": rt.settings.database_url,
        "MODELOPS_PASSFILE": str(rt.settings.passfile),
        "MODELOPS_STORAGE": str(rt.settings.storage),
        "MODELOPS_MLFLOW_URL": f"http://127.0.0.1:{free_port()}",
    }
    for name, value in (values | more).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    runtime.cache_clear()
    yield
    settings.cache_clear()
    runtime.cache_clear()
