"""Every line that a model's task logs carries the model and the version that it is about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.contextvars import get_contextvars

from include.settings import PROJECT_ROOT
from modelops.log_lines import lines_about

TASK = """
import logging, sys
from airflow.sdk.log import configure_logging
configure_logging(json_output=True, output=open(sys.argv[1], "wb"), sending_to_supervisor=True)
from modelops.operators.base import LifecycleOperator

class Told(LifecycleOperator):
    template_fields = ("model", "planned")

    def __init__(self, *, planned, **kwargs):
        super().__init__(**kwargs)
        self.planned = planned

    def stage(self, spec, rt, run, context):
        self.log.info("through the task's logger")
        logging.getLogger("include.lifecycle.anything").warning("through %s", "logging")
        return {"model": spec.name}

class Instance:
    run_id, task_id, try_number = "r", "told", 1

Told(task_id="told", model="flight_delay", planned={"rollout_id": 1, "version": 8}).execute({"ti": Instance()})
logging.getLogger("include.lifecycle.anything").warning("after the task")
"""


def test_lines_of_a_task_name_model_version_and_module(tmp_path: Path):
    environment = dict(os.environ) | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__LOGGING__CALLSITE_PARAMETERS": "module,filename,lineno",
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(PROJECT_ROOT), str(PROJECT_ROOT / "plugins")])
    command = [sys.executable, "-c", TASK, str(tmp_path / "log")]
    done = subprocess.run(command, env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    lines = {line["event"]: line for line in map(json.loads, (tmp_path / "log").read_text().splitlines())}
    for told in ("through the task's logger", "through logging"):
        line = lines[told]
        assert (line["model_name"], line["version"]) == ("flight_delay", 8)
        assert {"timestamp", "level", "event", "module"} <= set(line)
    assert "model_name" not in lines["after the task"]


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ([], None),
        (["text", None, {"version": None}], None),
        ([{"version": 3}, {"version": 4}], 3),
        ([{"rows": 1}, {"version": 4}], 4),
    ],
)
def test_the_version_is_the_first_that_an_argument_speaks_of(told: list[object], version: int | None):
    with lines_about("churn", told):
        assert get_contextvars() | {"model_name": "churn", "version": version} == get_contextvars()
    assert "model_name" not in get_contextvars()
