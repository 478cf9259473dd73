"""What one data check found: the common form of our own checks and of Great Expectations' results, for verdict and report."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, computed_field

from include.lifecycle.verdicts import Outcome, Verdict

SHOWN = 5  # examples per check


class Finding(BaseModel):
    """One check: its outcome, in how many of how many rows it did not hold, and a few values that broke it (JSON-plain).

    A `warning` is told and never decides; `unexpected` rows of a check that passed went to quarantine or were allowed.
    """

    model_config = ConfigDict(frozen=True)

    check: str
    column: str | None = None
    outcome: Outcome
    warning: bool = False
    rows: int | None = None
    unexpected: int | None = None
    examples: list[Any] = []
    detail: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def success(self) -> bool:
        """Whether the check passed."""
        return self.outcome is Outcome.PASS

    @property
    def sentence(self) -> str:
        """One line for a person: check, column, counts, examples."""
        parts = [self.check if self.column is None else f"{self.check}({self.column})"]
        if self.unexpected is not None:
            parts.append(f"{self.unexpected} of {self.rows} rows")
        if self.examples:
            parts.append("such as " + ", ".join(repr(value) for value in self.examples[:SHOWN]))
        if self.detail:
            parts.append(self.detail)
        return ": ".join([parts[0], "; ".join(parts[1:])]) if parts[1:] else parts[0]


def passed(broken: bool) -> Outcome:
    """Fail when `broken`, else pass."""
    return Outcome.FAIL if broken else Outcome.PASS


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numpy scalars become Python's, times ISO text, not-a-number None."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - the definition of not-a-number
        return None
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)


def verdict_of(findings: list[Finding], rows: int, quarantined: dict[str, int]) -> Verdict:
    """One judgement over all checks: a failed one fails, else one that could not tell leaves it open. Warnings only tell."""
    deciding = [finding for finding in findings if not finding.warning]
    failed = [finding for finding in deciding if finding.outcome is Outcome.FAIL]
    open_ = [finding for finding in deciding if finding.outcome is Outcome.INCONCLUSIVE]
    warned = [finding for finding in findings if finding.warning and finding.outcome is Outcome.FAIL]
    evidence = {
        "checks": len(findings),
        "rows": rows,
        "quarantined": quarantined,
        "failed": [finding.model_dump(mode="json") for finding in failed],
        "warnings": [finding.sentence for finding in warned],
    }
    outcome, told = (
        (Outcome.FAIL, f"{len(failed)} of {len(findings)} data checks failed: {_listed(failed)}")
        if failed
        else (Outcome.INCONCLUSIVE, f"{len(open_)} of {len(findings)} data checks could not tell: {_listed(open_)}")
        if open_
        else (Outcome.PASS, f"all {len(findings)} data checks passed")
    )
    if warned:
        told += f"; {len(warned)} warned: {_listed(warned)}"
    return Verdict(check="data_validation", outcome=outcome, reason=told, evidence=evidence)


def _listed(findings: list[Finding]) -> str:
    return " | ".join(finding.sentence for finding in findings)
