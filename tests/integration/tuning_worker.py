"""One tuning worker as a process of its own: reads a JSON job from stdin, prints its TunedStudy (run with `python -m`)."""

from __future__ import annotations

import json
import sys
from datetime import datetime

from include.lifecycle.clock import FixedClock
from include.lifecycle.results import PreparedData, StudyPlan
from include.lifecycle.runtime import RunContext, build_runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.tuning import run_trials
from include.settings import load_settings


def main() -> None:
    job = json.load(sys.stdin)
    rt = build_runtime(load_settings(job["environment"]), FixedClock(datetime.fromisoformat(job["now"])))
    plan, prepared = StudyPlan.model_validate(job["plan"]), PreparedData.model_validate(job["prepared"])
    run = RunContext("trips", "r1", "tune")
    print(run_trials(ModelSpec.model_validate(job["spec"]), rt, run, plan, prepared, job["worker"]).model_dump_json())


main()
