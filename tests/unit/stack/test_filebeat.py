"""The example for ELK names the logs that the stack writes, each once, and the fields that their lines carry."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

import pytest
import yaml

from include.settings import PROJECT_ROOT
from include.stack.layout import Layout
from include.stack.programs import LISTENS

CONFIG: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "docker" / "filebeat" / "filebeat.yml").read_text())


def shipped_as(layout: Layout, file: str) -> list[str]:
    """Sources of the inputs that take this file."""
    local = str(layout.local)
    found = []
    for entry in CONFIG["filebeat.inputs"]:
        patterns = [path.replace("${MODELOPS_LOCAL}", local) for path in entry["paths"]]
        found += [entry["fields"]["source"] for path in patterns if fnmatch(file, path)]
    return found


@pytest.mark.parametrize(
    ("name", "source"),
    [("server-flight_delay-3", "process"), ("watchdog", "process"), ("exporter", "process"), ("scheduler", "airflow")],
)
def test_json_lines_are_read_as_such(layout: Layout, name: str, source: str):
    assert shipped_as(layout, str(layout.logs / f"{name}.log")) == [source]
    (entry,) = [entry for entry in CONFIG["filebeat.inputs"] if entry["fields"]["source"] == source]
    assert entry["parsers"][0]["ndjson"]["target"] == ""


def test_every_program_s_log_is_shipped_once(layout: Layout):
    names = set(LISTENS) | {"watchdog"}
    assert {name: len(shipped_as(layout, str(layout.logs / f"{name}.log"))) for name in names} == dict.fromkeys(names, 1)


def test_tasks_and_requests_are_shipped(layout: Layout):
    task = layout.airflow_home / "logs" / "dag_id=a" / "run_id=b" / "task_id=c" / "map_index=0" / "attempt=1.log"
    assert shipped_as(layout, str(task)) == ["task"]
    assert shipped_as(layout, str(layout.logs / "gateway-access.jsonl")) == ["request"]


def test_airflow_s_event_becomes_the_message():
    (renamed,) = [one["rename"] for one in CONFIG["processors"] if "rename" in one]
    assert renamed["fields"] == [{"from": "event", "to": "message"}]
