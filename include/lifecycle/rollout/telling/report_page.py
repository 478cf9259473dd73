"""A rollout's report as one self-contained HTML page in the style of the evaluation's: verdicts, tables, charts, no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from include.lifecycle.evaluation.page import STYLE
from include.lifecycle.verdicts import Verdict


@dataclass(frozen=True)
class Section:
    """A titled table: `head` and `rows` of plain texts; `note` stands below it. Numbers are set to the right."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def report_page(
    title: str,
    decision: str,
    facts: Sequence[str],
    verdicts: Sequence[Verdict],
    charts: Sequence[str],
    sections: Sequence[Section],
) -> str:
    """The whole page; `charts` are SVG texts (evaluation/plots.py), everything else is escaped."""
    judged = "".join(_judged(verdict) for verdict in verdicts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1><p><b>{escape(decision)}</b></p>"
        f"<ul>{''.join(f'<li>{escape(fact)}</li>' for fact in facts)}</ul>"
        f"<h2>Checks</h2><table><tr><th>Check</th><th>Verdict</th><th>Why</th></tr>{judged}</table>"
        f'<h2>Charts</h2><div class="charts">{"".join(charts)}</div>'
        f"{''.join(map(_section, sections))}</body></html>\n"
    )


def number(value: float | None, digits: int = 4) -> str:
    """A number as tables show it; nothing for None."""
    return "" if value is None else f"{value:,.{digits}f}"


def _judged(verdict: Verdict) -> str:
    outcome = verdict.outcome.value
    return f'<tr><td>{escape(verdict.check)}</td><td class="{outcome}">{outcome}</td><td>{escape(verdict.reason)}</td></tr>'


def _section(section: Section) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in section.head)
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in section.rows)
    note = f"<p>{escape(section.note)}</p>" if section.note else ""
    return f"<h2>{escape(section.title)}</h2><table><tr>{head}</tr>{rows}</table>{note}"


def _cell(text: str) -> str:
    numeric = text.replace(",", "").replace(".", "", 1).lstrip("+-").replace("e-", "", 1).removesuffix(" %").isdigit()
    return f'<td class="n">{escape(text)}</td>' if numeric else f"<td>{escape(text)}</td>"
