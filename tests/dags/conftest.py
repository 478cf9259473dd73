"""Airflow for Dag tests: a home of its own with a fresh database, made before anything imports airflow."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(tempfile.mkdtemp(prefix="modelops-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ.update(
    {
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "t" * 64,
    }
)


@pytest.fixture
def served_here(rt, monkeypatch):
    """The process's settings and runtime are those of `rt`, for the test only: what routes read for themselves."""
    from include.lifecycle.runtime import runtime
    from include.settings import settings

    def forget():
        settings.cache_clear()
        runtime.cache_clear()

    monkeypatch.setenv("MODELOPS_DATABASE_URL", rt.settings.database_url)
    monkeypatch.setenv("MODELOPS_PASSFILE", str(rt.settings.passfile))
    forget()
    yield
    forget()


@pytest.fixture
def operators_client(served_here):
    """Asks the platform's API as a user who may operate."""
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi.testclient import TestClient

    from modelops.api.app import app

    create_auth_manager().init()
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="op", role="op")
    yield TestClient(app)
    app.dependency_overrides.clear()
