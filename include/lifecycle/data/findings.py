"""What one data check found: the common form of our own schema checks and of Great Expectations' results, for the report."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

_SHOWN = 5


class Finding(BaseModel):
    """One check: whether it held, in how many of how many rows it did not, and a few values that broke it (JSON-plain)."""

    model_config = ConfigDict(frozen=True)

    check: str
    column: str | None = None
    success: bool
    rows: int | None = None
    unexpected: int | None = None
    examples: list[Any] = []
    detail: str = ""

    @property
    def sentence(self) -> str:
        """One line for a person: check, column, counts, examples."""
        parts = [self.check if self.column is None else f"{self.check}({self.column})"]
        if self.unexpected is not None:
            parts.append(f"{self.unexpected} of {self.rows} rows")
        if self.examples:
            parts.append("such as " + ", ".join(repr(value) for value in self.examples[:_SHOWN]))
        if self.detail:
            parts.append(self.detail)
        return ": ".join([parts[0], "; ".join(parts[1:])]) if parts[1:] else parts[0]


def plain(value: Any) -> Any:
    """A value as JSON can hold it: numpy scalars become Python's, times ISO text, not-a-number None."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - the definition of not-a-number
        return None
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)
