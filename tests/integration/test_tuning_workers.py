"""Workers of one study as real processes: a dead one's trial is run by another, time and patience hold across all of them."""

from __future__ import annotations

import json
import time

import pytest

from include.lifecycle.results import PreparedData
from include.lifecycle.runtime import Runtime
from include.lifecycle.training.study import STARTED, load_study
from include.lifecycle.training.tuning import open_study, run_trials
from include.lifecycle.training.workers import HISTORY, WORKER, RunAgain, deadline_of, next_turn, stalled
from tests.integration.trips_source import trips_order
from tests.integration.tuning_lab import SPEC, opened, prepared, rt, run, start_worker, wait_for
from tests.unit.lifecycle.training.spec_for_tests import make_spec

__all__ = ["prepared", "rt"]
pytestmark = pytest.mark.integration
QUICK = make_spec(training={"heartbeat": {"interval": "1s", "grace": "4s"}, "pruning": {"kind": "none"}})


def test_a_worker_that_is_killed_and_never_comes_back_loses_nothing(rt: Runtime, prepared: PreparedData):
    plan = opened(rt, prepared, QUICK, trials=7)
    workers = [start_worker(rt, plan, prepared, number, QUICK) for number in (0, 1)]
    study = load_study(rt, plan.study, QUICK.training)
    running = lambda: [  # noqa: E731
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.user_attrs.get(WORKER) == 0 and trial.state.name == "RUNNING" and trial.params
    ]
    wait_for(running)
    workers[0].kill()  # SIGKILL: no word to anybody
    workers[0].wait()
    died = running()
    assert workers[1].wait(timeout=240) == 0
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    assert states.count("COMPLETE") == 7
    assert not {"RUNNING", "WAITING"} & set(states)
    told = json.loads((workers[1].stdout or workers[0].stdout).read().splitlines()[-1])
    assert told["reason"] == "trials"
    for trial in died:  # it may have finished between the look and the kill
        if study.trials[trial.number].state.name == "FAIL":
            again = [other for other in study.trials if other.system_attrs.get(HISTORY) == [trial.number]]
            assert [other.state.name for other in again] == ["COMPLETE"]
            assert {name: again[0].params[name] for name in trial.params} == trial.params


def test_one_that_was_only_silent_drops_its_trial(rt: Runtime, prepared: PreparedData):
    spec = make_spec(training={"heartbeat": {"interval": "1s", "grace": "2s"}})
    plan = opened(rt, prepared, spec, trials=2)
    study = load_study(rt, plan.study, spec.training)
    deadline = deadline_of(rt, study, spec.training)
    silent = next_turn(rt, study, 0, spec.training, total=2, deadline=deadline).trial
    assert silent is not None
    assert next_turn(rt, study, 1, spec.training, total=1, deadline=deadline).trial is None  # wait, it may be alive
    time.sleep(3.2)
    tuned = run_trials(spec, rt, run("tune"), plan, prepared, 1)
    assert (tuned.trials, tuned.reason) == (2, "trials")
    assert study.trials[silent.number].state.name == "FAIL"


def test_a_point_that_kills_its_workers_is_given_up(rt: Runtime, prepared: PreparedData):
    plan = opened(rt, prepared, trials=3)
    study = load_study(rt, plan.study, SPEC.training)
    before = len(study.trials)
    RunAgain(2)(study, study.trials[0])
    assert study.trials[-1].system_attrs[HISTORY] == [0]
    study.trials[-1].system_attrs[HISTORY] = [0]
    RunAgain(0)(study, study.trials[0])
    assert len(study.trials) == before + 1


def test_time_is_counted_once_for_all_lives_of_a_worker(rt: Runtime, prepared: PreparedData):
    plan = opened(rt, prepared, trials=3)
    study = load_study(rt, plan.study, SPEC.training)
    first = deadline_of(rt, study, SPEC.training)
    time.sleep(0.3)
    assert deadline_of(rt, load_study(rt, plan.study, SPEC.training), SPEC.training) == first
    study.set_user_attr(STARTED, time.time() - SPEC.training.timeout.total_seconds())
    rerun = run_trials(SPEC, rt, run("tune"), plan, prepared, 0)
    assert (rerun.trials, rerun.reason) == (0, "timeout")
    opened(rt, prepared, trials=3)  # the stage before ran again: its study begins anew
    assert run_trials(SPEC, rt, run("tune"), plan, prepared, 0).reason == "trials"


def test_patience_is_over_for_all_workers_at_once(rt: Runtime, prepared: PreparedData):
    spec = make_spec(training={"stop_after_no_improvement": 3, "estimators": ["logistic_regression"], "tuning_rows": 500})
    plan = opened(rt, prepared, spec, trials=60)
    first, second = (run_trials(spec, rt, run("tune"), plan, prepared, worker) for worker in (0, 1))
    assert (first.reason, second.reason, second.trials) == ("no_improvement", "no_improvement", 0)
    trials = load_study(rt, plan.study, spec.training).trials
    finished = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    best = max(float(trial.value) for trial in finished if trial.state.name == "COMPLETE")
    assert 4 <= len(finished) < 60
    assert all(trial.state.name == "PRUNED" or float(trial.value or 0) <= best for trial in finished[-3:])
    assert stalled(finished, 3, maximize=True)
    assert not stalled(finished, None, maximize=True)
    assert not stalled(finished[:3], 3, maximize=True)


@pytest.mark.parametrize("pruning", ["median", "hyperband", "none"])
def test_every_pruner_tunes(rt: Runtime, prepared: PreparedData, pruning: str):
    spec = make_spec(
        training={"pruning": {"kind": pruning, "startup_trials": 1}, "estimators": ["logistic_regression"], "tuning_rows": 500}
    )
    plan = opened(rt, prepared, spec, trials=8)
    assert run_trials(spec, rt, run("tune"), plan, prepared, 0).trials == 8
    states = [trial.state.name for trial in load_study(rt, plan.study, spec.training).trials]
    assert ("PRUNED" in states) <= (pruning != "none")
    assert "COMPLETE" in states


def test_what_is_not_tuned_says_so_at_once(rt: Runtime, prepared: PreparedData):
    spec = make_spec(training={"entry_point": "include.training.trips:train"})
    plan = open_study(spec, rt, run("prepare_data"), trips_order(), prepared)
    assert (plan.method, plan.trials, plan.workers) == ("entry_point", 0, 1)
    tuned = run_trials(spec, rt, run("tune"), plan, prepared, 0)
    assert (tuned.trials, tuned.best_value) == (0, None)
    assert tuned.reason == "training.entry_point include.training.trips:train trains; nothing is tuned"


def test_a_trial_that_died_before_its_worker_was_named_is_run_by_the_next(rt: Runtime, prepared: PreparedData):
    plan = opened(rt, prepared, trials=2)
    study = load_study(rt, plan.study, SPEC.training)
    orphan = study.ask()
    deadline = deadline_of(rt, study, SPEC.training)
    turns = [next_turn(rt, study, worker, SPEC.training, total=2, deadline=deadline) for worker in (0, 1, 2)]
    assert study.trials[orphan.number].state.name == "FAIL"
    assert [turn.trial is not None for turn in turns] == [True, True, False]
    assert turns[2].over is None
    points = [study.trials[turn.trial.number].system_attrs["fixed_params"]["algorithm"] for turn in turns[:2] if turn.trial]
    assert sorted(points) == sorted(SPEC.training.estimators[:2])
