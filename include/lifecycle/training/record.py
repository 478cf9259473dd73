"""`training.json`: everything that is needed to repeat a training with the same result, beside what the version's tags say.

Written by train_model, stored in the version's folder `training/`, read by warm starts, incremental trainings and `cli replay`.
"""

from __future__ import annotations

import platform
from importlib.metadata import version as installed
from typing import Any

from include.lifecycle.registry.entries import git_revision
from include.lifecycle.registry.record import lock_digest
from include.lifecycle.results import PreparedData, StudyPlan
from include.lifecycle.runtime import Runtime
from include.lifecycle.spec import ModelSpec
from include.lifecycle.training.tuning import STARTUP_TRIALS

_LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "lightgbm", "optuna", "skops")


def replay_facts(spec: ModelSpec, rt: Runtime, plan: StudyPlan, prepared: PreparedData) -> dict[str, Any]:
    """What the result depends on besides algorithm and parameters: seeds, threads, sampler, folds, rows, code and libraries."""
    training = spec.training
    return {
        "seed": training.seed,
        "threads": training.threads,
        "method": plan.method,
        "base_version": plan.base_version,
        "notes": plan.notes,
        "study": plan.study,
        "n_trials": plan.trials,
        "workers": plan.workers,
        "sampler": {
            "name": "TPESampler",
            "startup_trials": STARTUP_TRIALS,
            "constant_liar": True,
            "seed": "seed + 1000 x worker",
        },
        "pruning": training.pruning.model_dump(mode="json"),
        "folds": training.folds,
        "folding": training.folding.model_dump(mode="json"),
        "tuning_rows": training.tuning_rows,
        "train_rows": prepared.train_rows,
        "fit_until": prepared.fit_until.isoformat(),
        "features": spec.features.all,
        "spec_hash": spec.digest,
        "git_revision": git_revision(rt.settings.home),
        "lock_digest": lock_digest(rt.settings.home),
        "python": platform.python_version(),
        "libraries": {name: installed(name) for name in _LIBRARIES},
    }
