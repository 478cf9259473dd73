"""A fleet of generated models: what a full parse costs, how long one task's Dag takes to come up, and how quick `decide` is."""

from __future__ import annotations

import resource
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import MEGABYTE, Bench, Claim, in_child, median
from benchmarks.servers import Postgres, postgres
from include.lifecycle.migrations import upgrade
from include.lifecycle.scaffolding import dag_text
from include.settings import PROJECT_ROOT

SIZES = {"models": 1_000, "signals": 50}
TINY = {"models": 6, "signals": 3}
PARSE_CPU = 90.0  # CPU seconds; one parsing process then looks at 1,000 models within about a minute and a half
START_MORE, DECIDE = 0.3, 5.0
_YAML = """\
name: {name}
description: A generated model.
owner: fleet
tier: secondary
data: {{connection: fleet_db, query: {name}/training.sql, key: id, event_time: at, target: target}}
labels: {{query: {name}/labels.sql}}
features: {{numeric: [a, b, c], categorical: [d]}}
objective: {{task: binary_classification, metric: roc_auc, floor: 0.6}}
"""
_EMPTY = """\
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("empty", schedule=None):
    EmptyOperator(task_id="nothing")
"""


def run(bench: Bench) -> list[Claim]:
    """Parse and serialise all, start one, decide over all; each in fresh processes."""
    home = bench.folder / "home"
    names = generate(home, bench.sizes["models"])
    environment = airflow_environment(home, bench.folder / "airflow")
    bench.say(f"{len(names)} models generated")
    parsed = bench.interleaved({"parse": lambda: in_child("benchmarks.fleet:parse", {"home": str(home)}, environment)})["parse"]
    cpu, memory = median(parsed, "parse_cpu"), median(parsed, "peak_bytes") / MEGABYTE
    told = {"runs": parsed, "models": len(names), "memory_mb": memory, "ms_per_model": 1000 * cpu / len(names)}
    scale = len(names) / SIZES["models"]
    claims = [Claim("fleet_parse", cpu, PARSE_CPU * scale, "CPU s", cpu / (PARSE_CPU * scale), 1.0, "at_most", told)]
    claims.append(_start(bench, home, names, environment))
    with postgres(bench.folder) as server:
        claims.append(_decide(bench, server, home, len(names)))
    return claims


def _start(bench: Bench, home: Path, names: list[str], environment: dict[str, str]) -> Claim:
    """A task process parses its Dag's file and nothing else; against a file with an empty Dag."""
    (home / "dags" / "empty.py").write_text(_EMPTY, encoding="utf-8")
    target = names[len(names) // 2]
    sides = {
        "model": {"file": str(home / "dags" / f"{target}.py"), "dag_id": f"train__{target}"},
        "empty": {"file": str(home / "dags" / "empty.py"), "dag_id": "empty"},
    }
    found = bench.interleaved(
        {
            name: lambda given=given: in_child(
                "benchmarks.fleet:start", given, environment | {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": given["dag_id"]}
            )
            for name, given in sides.items()
        }
    )
    (home / "dags" / "empty.py").unlink()
    ours, empty = (median(found[side], "seconds") for side in ("model", "empty"))
    return Claim("fleet_start", ours, empty, "s", ours - empty, START_MORE, "at_most", {"runs": found, "ratio_is": "difference"})


def _decide(bench: Bench, server: Postgres, home: Path, models: int) -> Claim:
    """Each repetition decides on the same signals in a database of its own."""
    rows = min(bench.sizes["signals"], models)

    def once() -> dict[str, Any]:
        database = f"modelops_{time.time_ns()}"
        server.run("postgres", f"CREATE DATABASE {database}")
        upgrade(server.url(database), server.passfile)
        server.run(database, *[signal(number) for number in range(rows)])
        environment = {
            "MODELOPS_HOME": str(home),
            "MODELOPS_STORAGE": str(bench.folder / "data"),
            "MODELOPS_DATABASE_URL": server.url(database),
            "MODELOPS_PASSFILE": str(server.passfile),
        }
        answer = in_child("benchmarks.fleet:decide_all", {}, environment)
        if answer["requested"] != rows:
            raise AssertionError(f"{rows} confirmed signals led to {answer['requested']} trainings")
        return answer

    found = bench.interleaved({"decide": once})["decide"]
    seconds = median(found, "seconds")
    told = {"runs": found, "models": models, "open_signals": rows}
    return Claim("fleet_decide", seconds, DECIDE, "s", seconds / DECIDE, 1.0, "at_most", told)


def signal(number: int) -> str:
    """SQL of one confirmed decay of model `number`."""
    seen = datetime(2013, 8, 1, tzinfo=UTC).isoformat()
    return (
        "INSERT INTO signals "
        "(model, kind, cause, effect, severity, version, windows_failed, first_seen, last_seen, state, evidence) "
        f"VALUES ('{name_of(number)}', 'decay', 'decay:roc_auc', 0.2, 'act', 1, 5, '{seen}', '{seen}', 'open', "
        """'{"spanning_seconds": 864000, "reason": "a benchmark"}')"""
    )


def name_of(number: int) -> str:
    """Name of the fleet's model number `number`."""
    return f"fleet_{number:04d}"


def generate(home: Path, models: int) -> list[str]:
    """A tree with so many models, their SQL and Dag files, and the platform's own Dags."""
    for part in ("dags", "include/models", "include/sql"):
        (home / part).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PROJECT_ROOT / "include/models/_defaults.yaml", home / "include/models/_defaults.yaml")
    names = [name_of(number) for number in range(models)]
    for name in names:
        (home / "include/models" / f"{name}.yaml").write_text(_YAML.format(name=name), encoding="utf-8")
        sql = home / "include/sql" / name
        sql.mkdir()
        query = "SELECT * FROM source WHERE at >= :window_start AND at < :window_end"
        (sql / "training.sql").write_text(query + "\n", encoding="utf-8")
        (sql / "labels.sql").write_text("SELECT id AS key, at AS event_time, target AS label, at AS known_at FROM source\n")
        (home / "dags" / f"{name}.py").write_text(dag_text(name), encoding="utf-8")
    return names


def airflow_environment(home: Path, airflow_home: Path) -> dict[str, str]:
    """An Airflow without any server: SQLite that nobody writes, the fleet's Dags, our plugins on the path only."""
    airflow_home.mkdir(parents=True, exist_ok=True)
    return {
        "MODELOPS_HOME": str(home),
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "t" * 64,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }


def parse(home: str) -> dict[str, Any]:
    """A full pass of the dag-processor's work without its database: every file parsed, every Dag serialised; imports apart."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import DagSerialization

    import modelops.builders  # noqa: F401 - what every file needs is loaded before the clock starts, as in the processor

    started, wall = _cpu(), time.monotonic()
    bag = DagBag(str(Path(home) / "dags"))
    parsed = _cpu()
    sizes = [len(str(DagSerialization.to_dict(dag))) for dag in bag.dags.values()]
    if bag.import_errors:
        raise RuntimeError(f"{len(bag.import_errors)} files do not load: {next(iter(bag.import_errors.values()))}")
    told = {
        "dags": len(sizes),
        "parse_cpu": _cpu() - started,
        "serialise_cpu": _cpu() - parsed,
        "bytes_per_dag": sum(sizes) / len(sizes),
    }
    return told | {"wall_seconds": time.monotonic() - wall}


def start(file: str, dag_id: str) -> dict[str, Any]:
    """What a task process does before its task: import Airflow's part, then load the one file (only that is timed)."""
    import airflow.providers.standard.operators.empty  # noqa: F401 - both files need it
    from airflow.dag_processing.dagbag import DagBag

    began = time.monotonic()
    bag = DagBag(file)
    seconds = time.monotonic() - began
    if bag.import_errors or list(bag.dags) != [dag_id]:
        raise RuntimeError(f"{file} gave {list(bag.dags)}: {bag.import_errors}")
    return {"seconds": seconds}


def decide_all() -> dict[str, Any]:
    """`decide` over every model of the home; loading the YAML is told apart."""
    from include.lifecycle.decisions.decide import decide
    from include.lifecycle.loading import load_all
    from include.lifecycle.runtime import RunContext, build_runtime
    from include.settings import load_settings

    settings = load_settings()
    began = time.monotonic()
    specs = list(load_all(settings=settings).values())
    loaded = time.monotonic()
    found = decide(specs, build_runtime(settings), RunContext("all", str(time.time_ns()), "decide"))
    seconds = time.monotonic() - loaded
    return {"seconds": seconds, "load_seconds": loaded - began, "models": len(specs), "requested": len(found.training_requested)}


def _cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime
