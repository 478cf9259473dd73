"""A driver process to be killed: drives one rollout of the tiny servers, `python -m tests.integration.canary_driver ROLLOUT`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from include.lifecycle.errors import LifecycleError
from include.lifecycle.rollout.driver import drive_once
from include.lifecycle.rollout.hands import usual_hands
from include.lifecycle.runtime import build_runtime
from include.settings import load_settings
from tests.integration.rollout_stack import tiny_target


def tiny_hands(rt):
    """Real servers, traffic and database; the champion is 7 and no registry is asked."""
    return replace(
        usual_hands(rt),
        target=tiny_target(rt),
        champion_of=lambda rt, model: 7,
        foreign_aliases=lambda rt, model: {},
        promote=lambda *given, **named: None,
        withdraw=lambda *given, **named: None,
        materialise=lambda rt, model, version: (rt.storage.served(model, version), f"{version:064d}"),
        performance=None,
        pairs=None,
        experiment=None,
    )


if __name__ == "__main__":
    runtime, holder = build_runtime(load_settings()), (*sys.argv, "driver")[2]
    while True:
        try:
            drive_once(runtime, int(sys.argv[1]), holder, hands=tiny_hands(runtime))
        except LifecycleError as problem:
            print(problem, flush=True)
        time.sleep(0.2)
