"""The migrations make exactly the tables that the code works with, from an empty database and by command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from include.lifecycle.database import transaction
from include.lifecycle.runtime import Runtime
from include.lifecycle.tables import metadata
from include.settings import PROJECT_ROOT
from tests.conftest import free_port

pytestmark = pytest.mark.integration


def test_the_migrations_make_the_tables_of_the_code(rt: Runtime):
    with transaction(rt.engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def migrate(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "include.lifecycle.migrations"]
    return subprocess.run(
        command, cwd=PROJECT_ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_migrates_and_may_be_repeated(rt: Runtime):
    given = {"MODELOPS_DATABASE_URL": str(rt.engine.url), "MODELOPS_PASSFILE": str(rt.settings.passfile)}
    done = migrate(**given)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_database_that_is_away_is_one_message():
    done = migrate(MODELOPS_DATABASE_URL=f"postgresql+psycopg2://nobody@127.0.0.1:{free_port()}/none")
    assert done.returncode == 1
    assert done.stderr.startswith("error: database postgresql+psycopg2://nobody@127.0.0.1:")
    assert "Traceback" not in done.stderr
