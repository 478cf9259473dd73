"""The files of a new model, from the columns of its table: YAML, two SQL files, the Dag file. `cli new` writes them.

What cannot be known from the table stays a commented key, which `cli lint` then names. Nothing is ever overwritten.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.dialects import postgresql

from include.lifecycle.errors import LifecycleError
from include.lifecycle.table_columns import TableColumn
from include.settings import Settings

_TABLE = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)?$")
_PREPARER = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]
_NAME = re.compile(r"^[a-z][a-z0-9_]{1,48}$")
_COLUMN = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")
_OUTCOMES = ("target", "label", "outcome", "y")


class ScaffoldRefusedError(LifecycleError):
    """A new model's files were not written: bad name, or something is there already."""


@dataclass(frozen=True)
class Roles:
    """Which column plays which part; None where the table does not say."""

    key: str | None
    event_time: str | None
    target: str | None
    numeric: list[str]
    categorical: list[str]
    left_out: list[str]


def new_model(name: str, table: str, columns: list[TableColumn], settings: Settings) -> list[Path]:
    """Write the files of a new model and return their paths; all or none. Raises ScaffoldRefusedError."""
    if not _NAME.match(name):
        raise ScaffoldRefusedError(f"got model name {name!r}; allowed: lower-case letters, digits and _, beginning with a letter")
    if not _TABLE.match(table):
        raise ScaffoldRefusedError(f"got table {table!r}; allowed: a table's name, or schema.table")
    roles = guess_roles(columns)
    sql = settings.sql_dir / name
    texts = {
        settings.models_dir / f"{name}.yaml": yaml_text(name, roles),
        sql / "training.sql": training_text(table, roles),
        sql / "labels.sql": labels_text(table, roles),
        settings.dags_dir / f"{name}.py": dag_text(name),
    }
    if there := [str(path) for path in texts if path.exists()]:
        raise ScaffoldRefusedError(f"nothing was written: {', '.join(there)} exists already")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def guess_roles(columns: list[TableColumn]) -> Roles:
    """Roles that the table makes plain: its one key, one time, one true-or-false column; never a choice among several."""
    columns, odd = [c for c in columns if _COLUMN.match(c.name)], [c.name for c in columns if not _COLUMN.match(c.name)]
    key = _only([column.name for column in columns if column.primary]) or _first_named(columns, ("id",))
    event_time = _only([column.name for column in columns if column.kind == "time"])
    target = _first_named(columns, _OUTCOMES) or _only([column.name for column in columns if column.kind == "boolean"])
    taken = {key, event_time, target}
    rest = [column for column in columns if column.name not in taken]
    return Roles(
        key,
        event_time,
        target,
        [column.name for column in rest if column.kind == "number"],
        [column.name for column in rest if column.kind in ("text", "boolean")],
        [column.name for column in rest if column.kind in ("time", "other")] + odd,
    )


def yaml_text(name: str, roles: Roles) -> str:
    """The model's YAML; lines that begin with `#` wait for a person."""
    left_out = f"  # left out: {', '.join(roles.left_out)}\n" if roles.left_out else ""
    return f"""# yaml-language-server: $schema=schema.json
# Fill in the keys that are commented out; `python -m include.lifecycle.cli lint {name}` names what is missing.
# Every key: docs/yaml.md. What happens unattended: `python -m include.lifecycle.cli explain {name}`.
name: {name}
# description: what is predicted, in one sentence
# owner: the team that answers for it
tier: secondary                # primary: trained weekly, secondary: monthly
risk: medium                   # low: nobody approves a rollout, medium: one person
data:
  connection: production_db    # Airflow connection
  query: {name}/training.sql
{_role("key", roles.key, "what a row is about, such as an id")}
{_role("event_time", roles.event_time, "when the predicted event happens")}
{_role("target", roles.target, "the true outcome")}
labels:
  query: {name}/labels.sql
  # mature_after: 24h          # so long after its event an outcome is final
features:                      # only what is known before the event; whatever comes after it leaks the outcome
  numeric: [{", ".join(roles.numeric)}]
  categorical: [{", ".join(roles.categorical)}]
{left_out}objective:
  task: binary_classification
  metric: roc_auc
  # floor: 0.60                # below it nothing is rolled out; `none`: no absolute floor
"""


def training_text(table: str, roles: Roles) -> str:
    """The query of training rows; `:window_start` and `:window_end` are bound by the platform."""
    key, when, target = _placed(roles)
    selected = ",\n    ".join([key, when, *map(_quoted, roles.numeric + roles.categorical), target])
    return f"""-- Training rows: one per event, with what was known before it, and its outcome.
SELECT
    {selected}
FROM {_table(table)}
WHERE {when} >= :window_start
    AND {when} < :window_end
"""  # noqa: S608 - quoted names, for a person to read and change


def labels_text(table: str, roles: Roles) -> str:
    """The query of true outcomes; known_at is when the outcome became known."""
    key, when, target = _placed(roles)
    return f"""-- True outcomes. known_at is when the outcome became known: put the column that says so here,
-- the event's own time is too early.
SELECT
    {key} AS key,
    {when} AS event_time,
    {target} AS label,
    {when} AS known_at
FROM {_table(table)}
WHERE {when} >= :window_start
    AND {when} < :window_end
    AND {target} IS NOT NULL
"""  # noqa: S608 - quoted names, for a person to read and change


def dag_text(name: str) -> str:
    """The Dag file; its first line holds the words that Airflow looks for before it reads a file."""
    return f"""\"\"\"Airflow Dags train__{name} and deploy__{name}.\"\"\"

from modelops.builders import build

build("{name}", globals())
"""


def _placed(roles: Roles) -> tuple[str, str, str]:
    """Key, event time and target as SQL; capitals wait for a person where the table did not say."""
    found = ((roles.key, "KEY"), (roles.event_time, "EVENT_TIME"), (roles.target, "TARGET"))
    key, when, target = (_quoted(column) if column else waiting for column, waiting in found)
    return key, when, target


def _table(table: str) -> str:
    return ".".join(_quoted(part) for part in table.split("."))


def _quoted(name: str) -> str:
    return str(_PREPARER.quote(name))


def _role(role: str, column: str | None, meaning: str) -> str:
    return f"  {role}: {column}" if column else f"  # {role}: {meaning}"


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _first_named(columns: list[TableColumn], names: tuple[str, ...]) -> str | None:
    return next((column.name for column in columns if column.name.lower() in names), None)
