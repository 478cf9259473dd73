"""Alembic migrations of the product's database; `upgrade` brings it to the newest revision and may be run any number of times."""

from __future__ import annotations

from pathlib import Path

from include.lifecycle.database import engine_for, transaction


def upgrade(url: str, passfile: Path | None = None) -> None:
    """Create or update all tables; safe to call from several processes at once (advisory lock).

    Raises SourceUnavailableError when the database does not answer.
    """
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with transaction(engine_for(url, passfile)) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(4242)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
