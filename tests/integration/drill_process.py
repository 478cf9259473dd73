"""A drill in a process of its own, to be killed: `python -m tests.integration.drill_process`."""

from include.lifecycle.rollout.drills.drill import run_drill
from include.lifecycle.runtime import RunContext, build_runtime
from include.settings import load_settings

if __name__ == "__main__":
    print(run_drill(build_runtime(load_settings()), RunContext("drill", "killed", "run_drill")))
