"""Secrets are private files, made once; each password file holds what its reader needs and nothing else."""

from __future__ import annotations

import json
from configparser import RawConfigParser

from cryptography.fernet import Fernet

from include.stack.airflow_config import write_airflow_config
from include.stack.credentials import ROLES, USERS, Credentials
from include.stack.layout import Layout
from include.stack.ports import Ports


def test_every_secret_is_private(layout: Layout, credentials: Credentials):
    write_airflow_config(layout, Ports(), credentials)
    assert layout.secrets.stat().st_mode & 0o777 == 0o700
    files = list(layout.secrets.iterdir())
    assert files
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_secrets_are_made_once_and_differ(layout: Layout, credentials: Credentials):
    before = {role: credentials.password(role) for role in ROLES}
    users = layout.airflow_passwords.read_text()
    Credentials(layout).write(postgres_port=20000)
    assert {role: credentials.password(role) for role in ROLES} == before
    assert len(set(before.values())) == len(ROLES)
    assert layout.airflow_passwords.read_text() == users
    assert set(json.loads(users)) == set(USERS)


def test_password_files_follow_the_port_and_keep_roles_apart(credentials: Credentials):
    credentials.write(postgres_port=20000)
    airflow, mlflow = credentials.passfile.read_text(), credentials.mlflow_passfile.read_text()
    assert f"127.0.0.1:20000:*:airflow:{credentials.password('airflow')}" in airflow
    assert credentials.password("postgres") not in airflow + mlflow
    assert mlflow.splitlines() == [f"127.0.0.1:20000:*:mlflow:{credentials.password('mlflow')}"]


def test_keys_are_strong_enough(credentials: Credentials):
    assert len(credentials.token("airflow-jwt-secret").encode()) >= 64
    assert Fernet(credentials.fernet_key())


def test_airflow_cfg_holds_the_keys_and_no_database_password(layout: Layout, credentials: Credentials):
    write_airflow_config(layout, Ports(), credentials)
    parser = RawConfigParser()
    parser.read(layout.airflow_config)
    assert parser["api_auth"]["jwt_secret"] == credentials.token("airflow-jwt-secret")
    assert parser["database"]["sql_alchemy_conn"] == "postgresql+psycopg2://airflow@127.0.0.1:18432/airflow"
    assert credentials.password("airflow") not in layout.airflow_config.read_text()
