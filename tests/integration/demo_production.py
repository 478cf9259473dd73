"""A `production` database with the demo's first episode in it, loaded once per module, and reading it by the models' SQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from include.demo.data import LoadedData, load_data
from include.demo.episodes import Episode
from include.settings import PROJECT_ROOT, Settings, load_settings
from tests.conftest import PostgresServer


@dataclass(frozen=True)
class Production:
    """The owner's URL, and what a load gave."""

    url: sa.URL
    passfile: Path
    postgres: PostgresServer
    loaded: LoadedData

    def settings(self, **environment: str) -> Settings:
        """Settings of an installation on this server."""
        return load_settings(
            {
                "MODELOPS_DATABASE_URL": f"postgresql+psycopg2://modelops@127.0.0.1:{self.postgres.port}/modelops",
                "MODELOPS_PASSFILE": str(self.passfile),
                **environment,
            }
        )

    def query(self, model: str, name: str, start: datetime, end: datetime, as_of: datetime) -> pd.DataFrame:
        """Rows of a model's SQL file as the reader sees them."""
        text = (PROJECT_ROOT / "include" / "sql" / model / f"{name}.sql").read_text(encoding="utf-8")
        values = {"window_start": start, "window_end": end, "as_of": as_of}
        return self.frame(text, {key: value for key, value in values.items() if f":{key}" in text}, user="production_reader")

    def frame(self, text: str, values: dict[str, object] | None = None, user: str = "production") -> pd.DataFrame:
        engine = sa.create_engine(self.url.set(username=user), connect_args={"passfile": str(self.passfile)})
        try:
            with engine.connect() as connection:
                return pd.read_sql(sa.text(text), connection, params=values or {})
        finally:
            engine.dispose()


def create_production(postgres: PostgresServer, folder: Path) -> Production:
    """Roles and database as the stack makes them, then the demo's load as the owner."""
    connection = postgres.connect()
    connection.autocommit = True
    with connection.cursor() as cursor:
        for role in ("production", "production_reader"):
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
            if not cursor.fetchone():
                cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'of-this-test'")
        cursor.execute("DROP DATABASE IF EXISTS production WITH (FORCE)")
        cursor.execute("CREATE DATABASE production OWNER production")
        cursor.execute("REVOKE CONNECT ON DATABASE production FROM PUBLIC")
        cursor.execute("GRANT CONNECT ON DATABASE production TO production_reader")
    connection.close()
    passfile = folder / "pgpass"
    passfile.write_text(f"127.0.0.1:{postgres.port}:production:*:of-this-test\n")
    passfile.chmod(0o600)
    url = sa.make_url(f"postgresql+psycopg2://production@127.0.0.1:{postgres.port}/production")
    return Production(url, passfile, postgres, load_data(url, passfile, Episode(1)))
