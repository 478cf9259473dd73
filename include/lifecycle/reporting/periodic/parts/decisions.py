"""What was decided in the period and why, from the ledger: decisions, answers of people, promotions, rollbacks, freezes."""

from __future__ import annotations

from collections import Counter

from include.lifecycle.reporting.page import Block, Paragraph, Part, Table
from include.lifecycle.reporting.periodic.material import Material
from include.lifecycle.reporting.periodic.words import moment

_KINDS = ("decision", "approval", "promotion", "rollback", "freeze", "foreign_change", "signal")
_MOST = 40


def decisions(material: Material) -> Part:
    """Counts by act, and the newest entries with their reasons."""
    told = [row for row in material.entries if row["kind"] in _KINDS and row["phase"] != "intended"]
    if not told:
        return Part("Decisions", [Paragraph("Nothing was decided in the period.")])
    counts = Counter((row["kind"], row["act"].split(" on ")[0].split(" signal ")[0]) for row in told)
    lines = [(kind, act, str(count)) for (kind, act), count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    blocks: list[Block] = [Table(("Kind", "What", "How often"), lines[:_MOST])]
    newest = [(moment(row["at"]), row["act"], row["reason"], row["actor"]) for row in told[::-1][:_MOST]]
    blocks.append(Table(("At (UTC)", "What", "Why", "Who"), newest))
    if len(told) > _MOST:
        blocks.append(Paragraph(f"The newest {_MOST} of {len(told)}; all: `cli ledger {material.spec.name}`."))
    return Part("Decisions", blocks)
