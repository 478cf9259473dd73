"""Which versions were kept as champions, from the ledger's finished moves."""

from __future__ import annotations

from typing import Any

from include.lifecycle.evaluation.anchor import kept_champions


def move(number: int, act: str, champion: int | None, *, phase: str = "done", before: int | None = None) -> dict[str, Any]:
    aliases = {} if champion is None else {"champion": champion}
    return {"id": number, "act": act, "phase": phase, "version_before": before, "evidence": {"aliases_after": aliases}}


def kept(*rows: dict[str, Any]) -> list[int]:
    return kept_champions(rows)  # type: ignore[arg-type]


def test_promoted_versions_in_their_order_whatever_the_rows() -> None:
    rows = [move(3, "promote 5", 5), move(1, "promote 2", 2), move(2, "nominate 5 as challenger", 2)]
    assert kept(*rows) == [2, 5]


def test_intentions_and_failures_are_no_promotions() -> None:
    assert kept(move(1, "promote 2", 2, phase="intended"), move(2, "promote 2", 2, phase="failed")) == []


def test_a_demoted_version_is_no_anchor() -> None:
    rows = [move(1, "promote 2", 2), move(2, "promote 5", 5), move(3, "demote 5 to 2", 2, before=5)]
    assert kept(*rows) == [2]
    assert kept(*rows, move(4, "promote 5", 5)) == [2, 5], "unless it was promoted again"
    assert kept(*rows, move(4, "demote 2 to no champion", None, before=2)) == []
