"""Aligned plain-text tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

WIDEST = 60


def aligned(rows: Sequence[Sequence[str]], *, widest: int = WIDEST) -> list[str]:
    """Rows of equally many texts as lines with aligned columns; all but the last column are cut at `widest` characters."""
    cut = [[*(_cut(cell, widest) for cell in row[:-1]), row[-1]] for row in rows]
    widths = [max(len(row[index]) for row in cut) for index in range(len(cut[0]))] if cut else []
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cut]


def _cut(text: str, widest: int) -> str:
    return text if len(text) <= widest else text[: widest - 1] + "…"
