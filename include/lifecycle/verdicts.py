"""The vocabulary of judgement: every gate, test and check answers with a three-valued Verdict and its evidence.

Rules live elsewhere (evaluation, rollout, monitoring, decisions); nothing here decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict


class Outcome(StrEnum):
    """Pass, fail, or not enough evidence to say either."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Verdict(BaseModel):
    """One judgement: what was checked, the outcome, one sentence why, and the numbers behind it (JSON-plain)."""

    model_config = ConfigDict(frozen=True)

    check: str
    outcome: Outcome
    reason: str
    evidence: dict[str, Any] = {}

    @property
    def passed(self) -> bool:
        """True only for a pass: inconclusive is never one."""
        return self.outcome is Outcome.PASS

    @property
    def failed(self) -> bool:
        """True only for a fail."""
        return self.outcome is Outcome.FAIL


def worst(verdicts: Iterable[Verdict]) -> Outcome:
    """Fold outcomes: any fail is fail; else any inconclusive is inconclusive; else pass. Nothing to fold is inconclusive."""
    outcomes = {verdict.outcome for verdict in verdicts}
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.PASS):
        if outcome in outcomes:
            return outcome
    return Outcome.INCONCLUSIVE
