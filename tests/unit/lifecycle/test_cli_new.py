"""`cli new`: from a real table or a CSV file to files that load, without guessing and without overwriting."""

from __future__ import annotations

import psycopg2
import pytest
from sqlalchemy import create_engine, text

from include.lifecycle.cli import main
from include.lifecycle.loading import load_model
from include.lifecycle.scaffolding import guess_roles
from include.lifecycle.table_columns import TableColumn, columns_of_csv, columns_of_table

TABLE = """CREATE TABLE members (
    member_id BIGINT PRIMARY KEY, joined_at TIMESTAMP, age INTEGER, balance DOUBLE PRECISION, fee NUMERIC(10, 2),
    plan VARCHAR(20), "Region" TEXT, cancelled BOOLEAN)"""
FILLED = {"# owner: the team that answers for it": "owner: care", "# floor: 0.60 ": "floor: 0.60 "}


@pytest.fixture
def sqlite(tmp_path):
    url = f"sqlite:///{tmp_path}/members.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(TABLE))
    engine.dispose()
    return url


def fill_in(project, name):
    file = project.home / "include" / "models" / f"{name}.yaml"
    written = file.read_text()
    for line, filled in FILLED.items():
        assert line in written
        written = written.replace(line, filled)
    file.write_text(written)


def test_a_new_model_needs_two_lines_and_loads(project, sqlite, capsys):
    assert main(["new", "lapse", "--from-table", "members", "--url", sqlite], settings=project.settings) == 0
    assert "next: fill in the commented keys" in capsys.readouterr().out
    assert main(["lint", "lapse"], settings=project.settings) == 1
    told = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in told[1:]] == ["owner", "objective.floor"]
    fill_in(project, "lapse")
    spec = load_model("lapse", settings=project.settings)
    assert (spec.data.key, spec.data.event_time, spec.data.target) == ("member_id", "joined_at", "cancelled")
    assert spec.features.numeric == ["age", "balance", "fee"]
    assert spec.features.categorical == ["plan", "Region"]
    query = (project.home / "include/sql/lapse/training.sql").read_text()
    assert (
        'member_id,\n    joined_at,\n    age,\n    balance,\n    fee,\n    plan,\n    "Region",\n    cancelled\nFROM members'
        in query
    )
    dag = (project.home / "dags/lapse.py").read_text()
    assert dag.endswith('from modelops.builders import build\n\nbuild("lapse", globals())\n')
    assert "dag" in dag.lower()
    assert "airflow" in dag.lower()


def test_without_columns_every_blank_is_named(project, capsys):
    assert main(["new", "lapse", "--from-table", "crm.members"], settings=project.settings) == 0
    assert main(["lint", "lapse"], settings=project.settings) == 1
    told = capsys.readouterr().err
    for key in ("owner", "data.key", "data.event_time", "data.target", "features", "objective.floor"):
        assert f": {key}: " in told
    assert "FROM crm.members" in (project.home / "include/sql/lapse/training.sql").read_text()


def test_nothing_is_overwritten(project, capsys):
    (project.home / "dags/lapse.py").write_text("mine")
    assert main(["new", "lapse", "--from-table", "members"], settings=project.settings) == 2
    assert "nothing was written: " in capsys.readouterr().err
    assert (project.home / "dags/lapse.py").read_text() == "mine"
    assert not (project.home / "include/models/lapse.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["Lapse", "--from-table", "members"], "got model name 'Lapse'"),
        (["lapse", "--from-table", "members; DROP TABLE x"], "got table"),
        (["lapse", "--from-table", "members", "--url", "postgresql://a:secret@h/d"], "--url carries a password"),
        (["lapse", "--from-table", "members", "--url", "nonsense"], "--url is no SQLAlchemy URL"),
        (["lapse", "--from-table", "members", "--url", "postgresql://a@127.0.0.1:1/d"], "did not answer"),
        (["lapse", "--from-table", "members", "--columns-from", "/none.csv"], "cannot be read"),
    ],
)
def test_refusals(project, capsys, arguments, told):
    assert main(["new", *arguments], settings=project.settings) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "secret" not in error


def test_a_missing_table_is_named_with_the_nearest(project, sqlite, capsys):
    assert main(["new", "lapse", "--from-table", "member", "--url", sqlite], settings=project.settings) == 2
    assert "has no table 'member'; did you mean 'members'?" in capsys.readouterr().err


def test_postgresql_is_read_with_its_password_file(postgres):
    database = postgres.create_database()
    connection: psycopg2.extensions.connection = postgres.connect(database)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA crm")
        cursor.execute("CREATE TABLE crm.members (id uuid PRIMARY KEY, at timestamptz, paid boolean, score real, extra jsonb)")
    connection.close()
    found = columns_of_table(postgres.url(database), "crm.members", postgres.passfile)
    assert [(column.name, column.kind, column.primary) for column in found] == [
        ("id", "text", True),
        ("at", "time", False),
        ("paid", "boolean", False),
        ("score", "number", False),
        ("extra", "other", False),
    ]


def test_csv_kinds(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("id,at,flag,amount,word,empty,Odd Name\n1,2020-01-01T00:00:00+00:00,yes,1.5,a,,1\n2,2020-01-02,no,,b,,2\n")
    found = columns_of_csv(file)
    assert [column.kind for column in found] == ["number", "time", "boolean", "number", "text", "other", "number"]
    roles = guess_roles(found)
    assert (roles.key, roles.event_time, roles.target) == ("id", "at", "flag")
    assert roles.numeric == ["amount"]
    assert roles.left_out == ["empty", "Odd Name"]


def test_an_empty_csv_is_refused(project, tmp_path, capsys):
    (tmp_path / "x.csv").write_text("")
    arguments = ["new", "lapse", "--from-table", "m", "--columns-from", str(tmp_path / "x.csv")]
    assert main(arguments, settings=project.settings) == 2
    assert "has no header" in capsys.readouterr().err


def test_several_candidates_are_never_guessed():
    two = [TableColumn("a", "time"), TableColumn("b", "time"), TableColumn("c", "boolean"), TableColumn("d", "boolean")]
    roles = guess_roles(two)
    assert (roles.key, roles.event_time, roles.target) == (None, None, None)
    assert roles.categorical == ["c", "d"]
