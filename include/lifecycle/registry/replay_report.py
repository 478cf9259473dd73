"""What a replay found: the verdict, metric by metric, and what differed; written as JSON and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.lifecycle.reporting.page import Paragraph, Part, Table, to_markdown
from include.lifecycle.storage import write_whole
from include.lifecycle.verdicts import Outcome

Pairs = dict[str, tuple[Any, Any]]


class ReplayReport(BaseModel):
    """A replay's outcome. All pairs are (recorded, replayed); `metrics` holds every one, the others only what differs."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int
    at: datetime
    outcome: Outcome
    reason: str
    tuned: bool
    tolerance: float
    metrics: dict[str, tuple[float, float]]
    data: Pairs
    chosen: Pairs
    environment: Pairs
    seconds: float = 0.0

    def write(self, folder: Path) -> Path:
        """Write `replay-v<version>-<time>.json` and `.md` into `folder`; returns the JSON file."""
        name = f"replay-v{self.version}-{self.at:%Y%m%dT%H%M%S}"
        write_whole(folder / f"{name}.md", self.page())
        write_whole(folder / f"{name}.json", self.model_dump_json(indent=1) + "\n")
        return folder / f"{name}.json"

    def page(self) -> str:
        """The report as Markdown."""
        told = [Paragraph(f"{self.outcome.value}: {self.reason}."), Paragraph(f"Event time {self.at:%Y-%m-%d %H:%M} UTC.")]
        rows = [(name, repr(old), repr(new), f"{abs(new - old):.3g}") for name, (old, new) in self.metrics.items()]
        parts = [Part("Verdict", told), Part("Metrics", [Table(("Metric", "Recorded", "Replayed", "Difference"), rows)])]
        for title, pairs in (("Data", self.data), ("Parameters", self.chosen), ("Environment", self.environment)):
            changed = Table((title, "Recorded", "Replayed"), [(name, str(old), str(new)) for name, (old, new) in pairs.items()])
            parts.append(Part(title, [changed if pairs else Paragraph("The same.")]))
        return to_markdown(f"Replay of {self.model}, version {self.version}", parts)


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Pairs:
    """(before, now) of each name whose values differ; nested mappings by dotted names, what is missing as None."""
    found: Pairs = {}
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found |= {f"{name}.{inner}": pair for inner, pair in differing(old, new).items()}
        elif old != new:
            found[name] = (old, new)
    return found


def judge(
    tolerance: float, metrics: dict[str, tuple[float, float]], data: Pairs, chosen: Pairs, environment: Pairs
) -> tuple[Outcome, str]:
    """The same numbers pass whatever the environment; other numbers fail, or tell nothing in another environment."""
    if not metrics:
        return Outcome.INCONCLUSIVE, "no metric was recorded that can be computed now"
    gaps = {name: abs(new - old) for name, (old, new) in metrics.items()}
    largest = max(gaps, key=lambda name: gaps[name])
    wrong = [f"the rows differ ({', '.join(data)})"] if data else []
    wrong += [f"other parameters were chosen ({', '.join(chosen)})"] if chosen else []
    wrong += [f"{largest} differs by {gaps[largest]:.3g}"] if not gaps[largest] <= tolerance else []
    other = f"in another environment ({', '.join(environment)})" if environment else "in the same environment"
    if not wrong:
        return Outcome.PASS, f"{len(metrics)} metrics agree within {tolerance:g} on the same rows, {other}"
    told = f"{'; '.join(wrong)}; tolerance {tolerance:g}, {other}"
    return (Outcome.INCONCLUSIVE if environment else Outcome.FAIL), told
