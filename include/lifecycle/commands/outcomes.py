"""How commands tell verdicts to people and to CI jobs: a table, and an exit code that only a clear yes makes 0."""

from __future__ import annotations

from collections.abc import Sequence

from include.lifecycle.commands.tables import aligned
from include.lifecycle.verdicts import Outcome, Verdict

OK, NO, UNCLEAR = 0, 1, 3
CODES = {Outcome.PASS: OK, Outcome.FAIL: NO, Outcome.INCONCLUSIVE: UNCLEAR}
TOLD = "Exit code 0: passed, 1: failed, 3: not enough evidence to tell, 2: an error."


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """One line a verdict under a head."""
    rows = [(verdict.check, verdict.outcome.value, " ".join(verdict.reason.split())) for verdict in verdicts]
    return aligned([("CHECK", "OUTCOME", "REASON"), *rows])
