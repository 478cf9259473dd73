"""What a window's failed checks amount to: one class, and the rule that said so. Pure; stored with the window's measurements.

The order is that of explanation: a broken feed makes drift and decay by itself, an attack changes traffic, lost performance is
decay whatever moved, and inputs that moved alone are covariate. docs/monitoring-security.md has the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from include.lifecycle.monitoring.kinds import (
    ATTRIBUTION_DRIFT,
    COVARIATE,
    CREEP,
    DATA_FAULT,
    DECAY,
    EQUIPMENT,
    ESTIMATED_DECAY,
    MULTIVARIATE_DRIFT,
    POPULATION,
    PREDICTION_DRIFT,
    SECURITY,
)
from include.lifecycle.verdicts import Outcome, Verdict


@dataclass(frozen=True)
class Rule:
    """A class, the kinds whose failure makes it, and why it goes before those below."""

    name: str
    kinds: tuple[str, ...]
    words: str


RULES: Final = (
    Rule(DATA_FAULT, (DATA_FAULT,), "a broken feed explains whatever else moved"),
    Rule(SECURITY, (SECURITY,), "the feed is whole, and queries are not those of honest clients"),
    Rule(DECAY, (DECAY,), "feed and clients are in order, and performance on mature labels is lost"),
    Rule("estimated_decay", (ESTIMATED_DECAY,), "no label says so yet, and the estimate without labels fell"),
    Rule(
        COVARIATE,
        (COVARIATE, POPULATION, EQUIPMENT, CREEP, MULTIVARIATE_DRIFT, ATTRIBUTION_DRIFT, PREDICTION_DRIFT),
        "inputs moved, and performance did not fail",
    ),
)
NOTHING = "nothing_found"
UNKNOWN = "not_enough_evidence"


def classify(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """`class`, `rule` (one sentence) and `because` (the failed checks), JSON-plain.

    `nothing_found` needs a check of the feed that passed; with none that was conclusive it is `not_enough_evidence`.
    """
    failed = [verdict.check for verdict in verdicts if verdict.failed]
    for rule in RULES:
        if because := [check for check in failed if check.partition(":")[0] in rule.kinds]:
            return {"class": rule.name, "rule": rule.words, "because": because}
    conclusive = [verdict for verdict in verdicts if verdict.outcome is not Outcome.INCONCLUSIVE]
    judged = {kind for rule in RULES for kind in rule.kinds}
    if any(verdict.check.partition(":")[0] in judged for verdict in conclusive):
        return {"class": NOTHING, "rule": "every conclusive check of feed, clients, inputs and performance passed", "because": []}
    return {"class": UNKNOWN, "rule": "no check of feed, clients, inputs or performance was conclusive", "because": []}
