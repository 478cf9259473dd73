"""Rules between the keys of one model's YAML, checked on the merged plain data so that all problems are told at once.

Each rule tolerates what is missing or of a wrong type (pydantic names that) and yields the key and one sentence.
They stand in rules/, one file per subject.
"""

from __future__ import annotations

from include.lifecycle.rules import (
    alerts,
    approval,
    data,
    evaluation,
    features,
    inputs,
    monitoring,
    names,
    outcomes,
    pii,
    prediction_log,
    retraining,
    rollout,
    rollout_pace,
    sources,
    training,
    tuning,
)
from include.lifecycle.rules.view import Found, View

RULES = (
    *names.RULES,
    *data.RULES,
    *pii.RULES,
    *features.RULES,
    *inputs.RULES,
    *monitoring.RULES,
    *sources.RULES,
    *training.RULES,
    *tuning.RULES,
    *evaluation.RULES,
    *retraining.RULES,
    *approval.RULES,
    *alerts.RULES,
    *rollout.RULES,
    *rollout_pace.RULES,
    *prediction_log.RULES,
    *outcomes.RULES,
)


def broken_rules(view: View) -> Found:
    """Every rule's findings."""
    for rule in RULES:
        yield from rule(view)
