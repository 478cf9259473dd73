"""Kinds of alerts in one table: those of monitoring's signals, and what decisions, rollouts, trainings and delivery raise.

Each has the words of its title and the section of docs/runbooks.md that helps. How urgent it is says the model's YAML.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from include.lifecycle.monitoring import kinds as signal_kinds

MODEL_DOWN = "model_down"
ROLLOUT_BACK = "rollout_back"
ROLLOUT_HELD = "rollout_held"
ROLLOUT_REFUSED = "rollout_refused"
WATCHDOG_SILENT = "watchdog_silent"
FOREIGN_CHANGE = "foreign_change"
TRAINING_FAILED = "training_failed"
DRILL_FAILED = "drill_failed"
QUESTION = "question"
WAITING = "waiting"
DELIVERY_FAILED = "delivery_failed"
ALERT = "alert"

PLATFORM: Final = "platform"
"""Model of alerts that are about none: watchdog, drill, what Prometheus says of the platform. No model may have this name."""

Level = Literal["CRITICAL", "WARNING", "INFO"]
LEVELS: Final[dict[str, Level]] = {"P0": "CRITICAL", "P1": "WARNING", "P2": "WARNING", "P3": "INFO"}
"""The three levels as a view of the four severities."""


@dataclass(frozen=True)
class AlertKind:
    """`title` says what is wrong; `runbook` is an anchor of docs/runbooks.md."""

    name: str
    title: str
    runbook: str


ALERT_KINDS: Final = {
    kind.name: kind
    for kind in (
        AlertKind(signal_kinds.DATA_FAULT, "Faulty data", "alert-data-fault"),
        AlertKind(signal_kinds.SECURITY, "Suspicious requests", "alert-security"),
        AlertKind(signal_kinds.ACCESS, "Requests were refused", "alert-security"),
        AlertKind(signal_kinds.COVARIATE, "Inputs have drifted", "alert-drift"),
        AlertKind(signal_kinds.PREDICTION_DRIFT, "Predictions have drifted", "alert-drift"),
        AlertKind(signal_kinds.DECAY, "Performance is lost", "alert-decay"),
        AlertKind(signal_kinds.ESTIMATED_DECAY, "Performance is lost by estimate", "alert-decay"),
        AlertKind(signal_kinds.CREEP, "Inputs creep away from training", "alert-drift"),
        AlertKind(signal_kinds.POPULATION, "The population has changed", "alert-population-and-equipment"),
        AlertKind(signal_kinds.EQUIPMENT, "The equipment has changed", "alert-population-and-equipment"),
        AlertKind(signal_kinds.ATTRIBUTION_DRIFT, "Other features matter now", "alert-drift"),
        AlertKind(signal_kinds.MULTIVARIATE_DRIFT, "Inputs have drifted together", "alert-drift"),
        AlertKind(signal_kinds.SKEW, "Serving differs from training", "alert-skew"),
        AlertKind(signal_kinds.BIAS, "Groups are treated unequally", "alert-bias"),
        AlertKind(signal_kinds.BUSINESS, "A business metric is out of its bounds", "alert-business"),
        AlertKind(signal_kinds.RESOURCES, "Resources are short", "alert-resources"),
        AlertKind(signal_kinds.LABELS, "Labels are missing or wrong", "alert-labels"),
        AlertKind(signal_kinds.TRAFFIC, "Traffic is not as expected", "alert-traffic"),
        AlertKind(MODEL_DOWN, "The model is down", "a-model-is-down-p0"),
        AlertKind(ROLLOUT_BACK, "A rollout went back", "a-rollout-went-back"),
        AlertKind(ROLLOUT_HELD, "A rollout is held", "a-rollout-stands-still"),
        AlertKind(ROLLOUT_REFUSED, "A rollout was refused", "a-rollout-stands-still"),
        AlertKind(WATCHDOG_SILENT, "The watchdog does not look", "the-watchdog-returned-the-traffic"),
        AlertKind(FOREIGN_CHANGE, "Something was changed by hand", "the-ledger-shows-foreign_change"),
        AlertKind(TRAINING_FAILED, "A training failed", "a-training-failed"),
        AlertKind(DRILL_FAILED, "The drill failed", "the-drill-failed"),
        AlertKind(QUESTION, "A question waits for an answer", "a-training-did-not-start"),
        AlertKind(WAITING, "Something waits too long", "something-waits-too-long"),
        AlertKind(DELIVERY_FAILED, "An alert channel does not work", "an-alert-channel-does-not-work"),
        AlertKind(ALERT, "An alert of another system", "an-alert-of-another-system"),
    )
}


def is_signal(kind: str) -> bool:
    """Whether alerts of this kind follow a signal of monitoring, and end with it."""
    return kind in signal_kinds.KINDS


def runbook_of(kind: str) -> str:
    """The anchor in docs/runbooks.md; the general one for a kind that is not in the table."""
    return ALERT_KINDS.get(kind, ALERT_KINDS[ALERT]).runbook
