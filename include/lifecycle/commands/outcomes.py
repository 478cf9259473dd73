"""How commands tell verdicts to people and to CI jobs: a table, and an exit code that only a clear yes makes 0."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include.lifecycle.commands.tables import aligned
from include.lifecycle.errors import LifecycleError
from include.lifecycle.verdicts import Outcome, Verdict, worst

OK, NO, UNCLEAR = 0, 1, 3
CODES = {Outcome.PASS: OK, Outcome.FAIL: NO, Outcome.INCONCLUSIVE: UNCLEAR}
TOLD = "Exit code 0: passed, 1: failed, 3: not enough evidence to tell, 2: an error."


def verdict_lines(verdicts: Sequence[Verdict]) -> list[str]:
    """One line a verdict under a head."""
    rows = [(verdict.check, verdict.outcome.value, " ".join(verdict.reason.split())) for verdict in verdicts]
    return aligned([("CHECK", "OUTCOME", "REASON"), *rows])


def evaluation_record(model: str, metrics: Mapping[str, float], verdicts: Sequence[Verdict], **told: Any) -> dict[str, Any]:
    """What an evaluation is told as: metrics, verdicts, and the rows that they rest on unless `told` says them. JSON-plain.

    Checks that only warn (`act: warn` in the YAML) are listed and do not bind the outcome.
    """
    rows = next((verdict.evidence["rows"] for verdict in verdicts if verdict.evidence.get("rows") is not None), None)
    plain = [verdict.model_dump(mode="json") for verdict in verdicts]
    binding = worst(verdict for verdict in verdicts if verdict.evidence.get("act") != "warn")
    return {"model": model, "rows": rows, **told, "outcome": binding.value, "metrics": dict(metrics), "verdicts": plain}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write the file that `check-quality` reads; LifecycleError when it cannot be written."""
    from include.lifecycle.storage import write_whole

    try:
        write_whole(path, json.dumps(record, indent=1) + "\n")
    except OSError as problem:
        raise LifecycleError(f"--metrics-file {path} cannot be written: {problem}") from problem
