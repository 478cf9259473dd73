"""What a database that goes away in the middle of a transaction looks like: always the one retryable error."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError

from include.lifecycle.database import transaction
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.runtime import Runtime

pytestmark = pytest.mark.integration


def test_a_session_that_was_ended_may_be_tried_again(rt: Runtime):
    with pytest.raises(SourceUnavailableError, match="did not answer"), transaction(rt.engine) as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with transaction(rt.engine) as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


def test_a_connection_that_is_closed_may_be_tried_again(rt: Runtime):
    with pytest.raises(SourceUnavailableError, match="already closed"), transaction(rt.engine) as connection:
        connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
        connection.execute(text("SELECT 1"))


def test_no_free_connection_may_be_tried_again(rt: Runtime):
    engine = create_engine(rt.engine.url, pool_size=1, max_overflow=0, pool_timeout=0.05, connect_args=_passfile(rt))
    with transaction(engine), pytest.raises(SourceUnavailableError, match="QueuePool limit"), transaction(engine):
        pass
    engine.dispose()


def test_a_wrong_statement_is_no_outage(rt: Runtime):
    with pytest.raises(ProgrammingError, match="nowhere"), transaction(rt.engine) as connection:
        connection.execute(text("SELECT * FROM nowhere"))


def _passfile(rt: Runtime) -> dict[str, str]:
    return {"passfile": str(rt.settings.passfile)}
