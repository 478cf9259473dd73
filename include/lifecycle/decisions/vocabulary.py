"""The words of the retraining policy: what it sees of a signal and of the past, and what it answers with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from include.lifecycle.monitoring.kinds import COVARIATE, CREEP, EQUIPMENT, MULTIVARIATE_DRIFT, POPULATION, names

Act = Literal["retrain", "approve", "suggest", "alert", "wait", "refuse", "none"]

FREEZING = names("freeze")
SUPPORTING = names("support")
WARNING = names("warn")
MOVED_INPUTS = (COVARIATE, CREEP, POPULATION, EQUIPMENT, MULTIVARIATE_DRIFT)
"""Kinds that say that inputs moved. Prediction drift is none: an estimated decay is made of the predictions as well."""
BY_POLICY = (COVARIATE, POPULATION, EQUIPMENT)
"""Kinds that retrain alone where the key `retraining.<kind>` says `retrain`."""
FACTS = ("volume", "age", "manual", "external")
"""Kinds that are facts, not measurements: they need no confirmation by further windows."""
SPENDABLE_FACTS = ("age",)
"""Facts that stay true after a training that promoted nothing: one training answers them, as it does a decay."""


class Frozen(BaseModel):
    """Base of the policy's vocabulary."""

    model_config = ConfigDict(frozen=True)


class SignalView(Frozen):
    """What the policy sees of an open signal. `spanning`: from the first to the last failed window of the last `confirm.of`.

    `lower`: what the effect is at least (see lower_bound); None when the signal does not say.
    """

    id: int
    kind: str
    cause: str
    effect: float
    lower: float | None = None
    severity: str
    version: int | None = None
    windows_failed: int = 1
    spanning: timedelta = timedelta(0)
    reason: str = ""


def lower_bound(effect: float, evidence: Mapping[str, Any]) -> float | None:
    """What an effect is at least: the interval's end where the check gives one, else a distance less what its null shows anyhow.

    The latter by the triangle inequality: the window lies no further than the null's quantile from where it was drawn from
    (Wasserstein, Jensen-Shannon and Kolmogorov-Smirnov distances are metrics; for others it is a rule of thumb). None without.
    """
    if isinstance(found := evidence.get("lower"), int | float):
        return float(found)
    null = evidence.get("null_threshold")
    return max(effect - float(null), 0.0) if isinstance(null, int | float) else None


class RetrainingState(Frozen):
    """What happened before. `fruitless`: trainings for signals in a row that promoted nothing. `spent`: effect of each cause of
    the present version when it was trained for; `declined`: when a person said no to it. `stopped`: who stopped unattended
    training, and why; `kill_switch`: who froze the model, and why."""

    last_request_at: datetime | None = None
    trainings_this_month: int = 0
    fruitless: int = 0
    spent: dict[str, float] = {}
    declined: dict[str, float] = {}
    champion: int | None = None
    open_request: str | None = None
    open_rollout: str | None = None
    stopped: str | None = None
    kill_switch: str = ""


class SignalDecision(Frozen):
    """What is done about one signal. `code` names act and rule without numbers: a decision changed when its code did."""

    act: Act
    code: str
    reason: str


class Decision(Frozen):
    """What is done about the model: the act, why, each signal's own decision, and the numbers it rests on.

    With act `retrain` or `approve`, `primary` is what the training is for; every signal whose own act is the same is accepted
    with it. `check`: only asked, nobody acts upon it.
    """

    act: Act
    reason: str
    primary: int | None = None
    by_signal: dict[int, SignalDecision] = {}
    evidence: dict[str, Any] = {}
    check: bool = False

    @property
    def accepts(self) -> bool:
        """Whether a training is requested, to start at once or after a person's approval."""
        return self.act in ("retrain", "approve")
