"""Pictures and a table of the study, kept with the MLflow parent run: history, importances, slices, parallel coordinates.

The history shows every trial. The other three need parameters that all trials share, so they show those of the best algorithm.
"""

from __future__ import annotations

import csv
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from include.lifecycle.registry.client import registry_calls
from include.lifecycle.results import StudyPlan
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.search import chosen
from include.lifecycle.training.study import finished_trials, load_study, study_calls
from include.lifecycle.training.workers import WORKER

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

FOLDER, TABLE = "study", "trials.csv"
MOST_TRIALS = 300  # newest ones drawn; PED-ANOVA and the pictures stay below seconds
_log = logging.getLogger(__name__)


def log_study(spec: ModelSpec, rt: Runtime, plan: StudyPlan) -> list[str]:
    """Write the table and the pictures under `study/` of the parent run; returns their names. A rerun replaces them."""
    with study_calls(rt):
        study = load_study(rt, plan.study, spec.training)
        trials = finished_trials(study)
    names = [TABLE]
    with registry_calls(rt, f"keeping the study of {plan.study}") as client:
        client.log_text(plan.parent_run_id, trials_csv(spec, trials), f"{FOLDER}/{TABLE}")
        for name, figure in _figures(spec, study, trials[-MOST_TRIALS:]):
            client.log_figure(plan.parent_run_id, figure, f"{FOLDER}/{name}.png")
            names.append(f"{name}.png")
    return names


def trials_csv(spec: ModelSpec, trials: list[FrozenTrial]) -> str:
    """One line per finished trial: number, worker, state, value, seconds, each fold's running mean, algorithm, parameters."""
    lines = []
    for trial in trials:
        algorithm, params = chosen(trial, spec.training)
        seconds = trial.duration.total_seconds() if trial.duration else None
        line = {"number": trial.number, "worker": trial.user_attrs.get(WORKER), "state": trial.state.name, "value": trial.value}
        line |= {"seconds": seconds, **{f"fold_{step}": value for step, value in trial.intermediate_values.items()}}
        lines.append(line | {"algorithm": algorithm, **params})
    columns = list(dict.fromkeys(name for line in lines for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _figures(spec: ModelSpec, study: Study, trials: list[FrozenTrial]) -> Iterator[tuple[str, Any]]:
    """Name and matplotlib figure of each picture that can be drawn of these trials; the others are left out and logged."""
    from matplotlib import use

    use("Agg")  # no window, whatever the machine has
    from matplotlib import pyplot
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization import matplotlib as drawing

    every, best = _of(study, trials), _of(study, _best_family(spec, study, trials))
    pictures: dict[str, Callable[[], Any]] = {
        "history": lambda: drawing.plot_optimization_history(every),
        "importances": lambda: drawing.plot_param_importances(best, evaluator=PedAnovaImportanceEvaluator()),
        "slices": lambda: drawing.plot_slice(best),
        "parallel": lambda: drawing.plot_parallel_coordinate(best),
    }
    for name, draw in pictures.items():
        try:
            with warnings.catch_warnings():  # optuna marks every drawing as experimental; few trials draw odd axes
                warnings.simplefilter("ignore")
                figure = _figure(draw())
        except (RuntimeError, ValueError) as problem:  # too few trials, or one value only: nothing to draw
            _log.info("%s: no picture %s of the study: %s", spec.name, name, problem)
            continue
        try:
            yield name, figure
        finally:
            pyplot.close(figure)


def _figure(drawn: Any) -> Any:
    """The figure behind one axes or an array of them."""
    first = drawn.flat[0] if hasattr(drawn, "flat") else drawn
    figure = first.figure
    figure.set_size_inches(max(8.0, figure.get_size_inches()[0]), 5.0)
    figure.tight_layout()
    return figure


def _best_family(spec: ModelSpec, study: Study, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Completed trials of the best trial's algorithm."""
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if not complete:
        return []
    algorithm = chosen(study.best_trial, spec.training)[0]
    return [trial for trial in complete if chosen(trial, spec.training)[0] == algorithm]


def _of(study: Study, trials: list[FrozenTrial]) -> Study:
    """The trials as a study in memory, of which optuna can draw; failed ones are never among them."""
    import optuna

    copy = optuna.create_study(direction=study.direction)
    copy.add_trials(trials)
    return copy
