"""Programs: no secret in arguments or environments, a small environment, and restarts only for what really changed."""

from __future__ import annotations

import json
import shlex
from configparser import RawConfigParser

import pytest

from include.stack.credentials import ROLES, Credentials
from include.stack.layout import Layout
from include.stack.local import LocalStack
from include.stack.ports import Ports
from include.stack.programs import AIRFLOW, Program, build_programs, write_programs
from include.stack.supervisor import render_config


@pytest.fixture
def programs(layout: Layout, credentials: Credentials) -> list[Program]:
    return build_programs(layout, Ports(), credentials, LocalStack(layout).environment())


def test_all_components_in_starting_order(programs: list[Program]):
    assert [program.name for program in programs] == ["postgres", "gateway", "watchdog", "mlflow", *AIRFLOW]


def test_no_secret_in_arguments_or_environment(layout: Layout, credentials: Credentials, programs: list[Program]):
    write_programs(layout, programs)
    written = "".join(path.read_text() for path in layout.programs.glob("*.json")) + render_config(layout, programs)
    secrets = [credentials.password(role) for role in ROLES]
    secrets += [credentials.fernet_key(), credentials.token("airflow-jwt-secret"), credentials.token("airflow-api-key")]
    secrets += json.loads(layout.airflow_passwords.read_text()).values()
    assert not [secret for secret in secrets if secret in written]


def test_the_callers_environment_does_not_leak(layout: Layout, monkeypatch: pytest.MonkeyPatch, credentials: Credentials):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leak")
    monkeypatch.setenv("AIRFLOW__CORE__LOAD_EXAMPLES", "True")
    write_programs(layout, build_programs(layout, Ports(), credentials, LocalStack(layout).environment()))
    environment = json.loads((layout.programs / "scheduler.json").read_text())["env"]
    assert not {"AWS_SECRET_ACCESS_KEY", "AIRFLOW__CORE__LOAD_EXAMPLES"} & set(environment)
    assert environment["OPENBLAS_NUM_THREADS"] == "1"
    assert environment["MODELOPS_PROGRAM"] == "scheduler"


def test_only_mlflow_reads_mlflows_password(programs: list[Program], credentials: Credentials):
    by_name = {program.name: program.env for program in programs}
    assert by_name["mlflow"]["PGPASSFILE"] == str(credentials.mlflow_passfile)
    assert by_name["scheduler"]["PGPASSFILE"] == str(credentials.passfile)
    assert "PGPASSFILE" not in by_name["gateway"] | by_name["postgres"]


def test_another_shell_is_no_reason_for_a_restart(
    layout: Layout, programs: list[Program], credentials: Credentials, monkeypatch: pytest.MonkeyPatch
):
    assert write_programs(layout, programs) == {program.name for program in programs}
    monkeypatch.setenv("PATH", "/usr/bin:/elsewhere")
    assert write_programs(layout, build_programs(layout, Ports(), credentials, LocalStack(layout).environment())) == set()
    without_demo = LocalStack(layout, demo=False).environment()
    assert write_programs(layout, build_programs(layout, Ports(), credentials, without_demo)) == {"watchdog", *AIRFLOW}


def test_supervisord_reads_the_configuration_from_a_folder_with_a_space(layout: Layout, programs: list[Program]):
    parser = RawConfigParser()
    parser.read_string(render_config(layout, programs))
    assert parser["include"]["files"] == "conf.d/*.conf"
    for program in programs:
        section = parser[f"program:{program.name}"]
        assert shlex.split(section["command"])[-1] == str(layout.programs / f"{program.name}.json")
        assert (section["autostart"], section["autorestart"], section["killasgroup"]) == ("false", "true", "true")
    assert parser["program:postgres"]["stopsignal"] == "INT"
    assert parser["program:postgres"]["stopasgroup"] == "false"
