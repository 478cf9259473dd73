"""The kinds of signals, in one table: what each means for the version and for training.

A check is called `kind`, `kind:column` or `kind:column:aspect`; so is the cause of its signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

DATA_FAULT = "data_fault"
SECURITY = "security"
ACCESS = "access"
COVARIATE = "covariate"
PREDICTION_DRIFT = "prediction_drift"
DECAY = "decay"
ESTIMATED_DECAY = "estimated_decay"
CREEP = "creep"
POPULATION = "population"
EQUIPMENT = "equipment"
ATTRIBUTION_DRIFT = "attribution_drift"
MULTIVARIATE_DRIFT = "multivariate_drift"
SKEW = "skew"
BIAS = "bias"
BUSINESS = "business"
RESOURCES = "resources"
LABELS = "labels"
TRAFFIC = "traffic"

Leads = Literal["retrain", "freeze", "support", "warn"]


@dataclass(frozen=True)
class Kind:
    """What a signal of this kind does. `leads` to a retraining, freezes training, supports a decay, or only warns.

    `of_a_version`: it is measured against a version's own reference, so it ends with that version. `of_a_column`: its cause names
    a feature, and it ends when that is no longer watched.
    """

    name: str
    leads: Leads
    of_a_version: bool
    of_a_column: bool = False


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(DATA_FAULT, "freeze", of_a_version=False, of_a_column=True),
        Kind(SECURITY, "freeze", of_a_version=False),
        Kind(ACCESS, "warn", of_a_version=False),  # who was refused never reached the model: strangers must not stop its training
        Kind(COVARIATE, "support", of_a_version=True, of_a_column=True),
        Kind(PREDICTION_DRIFT, "support", of_a_version=True),
        Kind(DECAY, "retrain", of_a_version=True),
        Kind(ESTIMATED_DECAY, "support", of_a_version=True),
        Kind(CREEP, "support", of_a_version=True, of_a_column=True),
        Kind(POPULATION, "support", of_a_version=True, of_a_column=True),
        Kind(EQUIPMENT, "support", of_a_version=True, of_a_column=True),
        Kind(ATTRIBUTION_DRIFT, "support", of_a_version=True),
        Kind(MULTIVARIATE_DRIFT, "support", of_a_version=True),
        Kind(SKEW, "warn", of_a_version=True, of_a_column=True),
        Kind(BIAS, "warn", of_a_version=True),
        Kind(BUSINESS, "warn", of_a_version=False),
        Kind(RESOURCES, "warn", of_a_version=True),
        Kind(LABELS, "warn", of_a_version=False),
        Kind(TRAFFIC, "warn", of_a_version=False),
    )
}


def kind_of(cause: str) -> Kind | None:
    """The kind of a check's or a cause's name; None for checks that raise no signal."""
    return KINDS.get(cause.partition(":")[0])


def column_of(cause: str) -> str:
    """The second word of a check's or a cause's name, without its aspect; empty where there is none."""
    return cause.partition(":")[2].partition(":")[0]


def names(leads: Leads) -> tuple[str, ...]:
    """Names of the kinds that lead to this."""
    return tuple(kind.name for kind in KINDS.values() if kind.leads == leads)
