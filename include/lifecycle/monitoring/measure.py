"""Measures one version's window: all checks, health, the row to store. A check that breaks is inconclusive and hides no other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from include.lifecycle.monitoring.checks import CHECKS, Subject
from include.lifecycle.monitoring.classification import classify
from include.lifecycle.monitoring.health import health_of
from include.lifecycle.monitoring.inputs.past import Past
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.outcomes.numbers import latency_numbers, numbers_beside
from include.lifecycle.monitoring.outcomes.outside import Outside
from include.lifecycle.monitoring.performance import performance_numbers
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict

log = logging.getLogger(__name__)


def measure_window(
    spec: ModelSpec,
    profile: Profile | None,
    window: Predictions,
    labelled: Labelled,
    *,
    now: datetime,
    notes: list[Verdict],
    past: Past | None = None,
    outside: Outside | None = None,
) -> dict[str, Any]:
    """The row of table `windows` for these predictions, without its revision. `notes`: verdicts about the run to keep with it;
    `past`: what the model's earlier windows tell, `outside`: what is known beside its predictions.

    Without a profile only the plain numbers are measured, and every check is inconclusive.
    """
    found, kept = _verdicts(spec, profile, window, labelled, now, past, outside)
    verdicts = [*notes, *found]
    labels_due = now >= window.window.end + spec.labels.mature_after
    mature = int(labelled.labels.size)
    health, parts = health_of(spec, verdicts, rows=window.total, mature_rows=mature, labels_due=labels_due)
    return {
        "model": spec.name,
        "version": window.version,
        "window_start": window.window.start,
        "window_end": window.window.end,
        "rows": window.total,
        "mature_rows": mature,
        "health": health,
        "health_parts": parts,
        "measurements": _numbers(spec, window, labelled, now)
        | kept
        | numbers_beside(window, labelled, outside, verdicts)
        | {"classification": classify(verdicts)},
        "verdicts": [verdict.model_dump(mode="json") for verdict in verdicts],
    }


def _verdicts(
    spec: ModelSpec,
    profile: Profile | None,
    window: Predictions,
    labelled: Labelled,
    now: datetime,
    past: Past | None,
    outside: Outside | None,
) -> tuple[list[Verdict], dict[str, Any]]:
    """The verdicts of all checks, and the numbers that they keep with the window."""
    if profile is None:
        reason = f"version {window.version} has no usable reference profile; the task's log says why"
        kinds = dict.fromkeys(check.kind for check in CHECKS)
        return [Verdict(check=kind, outcome=Outcome.INCONCLUSIVE, reason=reason) for kind in kinds], {}
    subject = Subject(spec, profile, _comparable(spec, profile, window), labelled, now, past=past, outside=outside)
    for check in CHECKS:
        subject.found += guarded(check.kind, partial(check.measure, subject))
    return subject.found, subject.kept


def _comparable(spec: ModelSpec, profile: Profile, window: Predictions) -> Predictions:
    """The window without features that the spec reads as numbers and the version was trained with as categories, or reversed:
    they are as if they were not logged until a version is trained on them."""
    turned = (profile.numeric.keys() & set(spec.features.categorical)) | (profile.categorical.keys() & set(spec.features.numeric))
    return replace(window, features={name: held for name, held in window.features.items() if name not in turned})


def guarded(check: str, measure: Callable[[], Sequence[Verdict]]) -> list[Verdict]:
    """The verdicts of `measure`; any error in it becomes one inconclusive verdict that names it; its traceback is logged."""
    try:
        return list(measure())
    except Exception as problem:
        log.exception("check %s broke", check)
        reason = f"the check broke: {type(problem).__name__}: {problem}"
        return [Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=reason[:500])]


def _numbers(spec: ModelSpec, window: Predictions, labelled: Labelled, now: datetime) -> dict[str, Any]:
    measured: dict[str, Any] = {"measured_at": now.isoformat(), "label_coverage": labelled.coverage}
    if window.rows:
        measured |= _predicted(spec, window)
        measured |= latency_numbers(window)
    return measured | {"performance": performance_numbers(spec, labelled)}


def _predicted(spec: ModelSpec, window: Predictions) -> dict[str, Any]:
    """Mean prediction; of a multiclass model the share of each predicted class."""
    if not spec.objective.classes:
        return {"mean_prediction": float(np.nanmean(window.values))}
    shares = {name: float(np.mean(window.values == place)) for place, name in enumerate(spec.objective.classes)}
    return {"predicted_shares": shares}
