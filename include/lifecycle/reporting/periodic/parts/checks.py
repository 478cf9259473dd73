"""All checks of the period by kind: how often each passed, failed or could not tell, and why the failed ones did."""

from __future__ import annotations

from collections import Counter

from include.lifecycle.reporting.page import Block, Bullets, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.material import Material
from include.lifecycle.reporting.periodic.words import moment, percent

_MOST = 20


def checks(material: Material) -> Part:
    """One row per kind of check, and what the failed ones said."""
    counts: dict[str, Counter[str]] = {}
    failed: dict[str, str] = {}
    for row in material.champion_windows:
        if row["window_start"] < material.period.start:
            continue
        for verdict in row["verdicts"]:
            counts.setdefault(verdict["check"].partition(":")[0], Counter())[verdict["outcome"]] += 1
            if verdict["outcome"] == "fail":
                failed[verdict["check"]] = f"{verdict['check']}, {moment(row['window_start'])}: {verdict['reason']}"
    if not counts:
        return Part("Checks", [Paragraph("No window was measured in the period.")])
    lines = [(kind, *_line(found)) for kind, found in sorted(counts.items())]
    blocks: list[Block] = [Table(("Kind", "Pass", "Fail", "Inconclusive", "Failed of the conclusive"), lines)]
    if failed:
        blocks += [Paragraph("What failed, each cause by its newest window:"), Bullets(list(failed.values())[:_MOST])]
    return Part("Checks", blocks)


def _line(found: Counter[str]) -> tuple[str, ...]:
    conclusive = found["pass"] + found["fail"]
    share = percent(found["fail"] / conclusive) if conclusive else "never conclusive"
    return (str(found["pass"]), str(found["fail"]), str(found["inconclusive"]), share)
