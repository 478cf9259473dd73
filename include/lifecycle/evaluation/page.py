"""`evaluation.html`: the evaluation as one self-contained page, with charts, for people and for the link of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from include.lifecycle.verdicts import Verdict

STYLE = """body{font:14px/1.5 sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#24292f}
table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #d0d7de;padding:.25rem .6rem;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}.pass{color:#1a7f37}.fail{color:#cf222e;font-weight:bold}
.inconclusive{color:#9a6700}.off{color:#6e7781}.charts{display:flex;flex-wrap:wrap;gap:1rem}"""


def html_page(
    title: str,
    decision: str,
    facts: Sequence[str],
    verdicts: Sequence[Verdict],
    silent: Mapping[str, str],
    metrics: Mapping[str, Mapping[str, float]],
    charts: Sequence[str],
) -> str:
    """The whole page; `metrics` are columns of metric values by column name, `charts` SVG texts. Everything else is escaped."""
    judged = "".join(
        _row(verdict.check, verdict.outcome.value, verdict.reason, verdict.evidence.get("act")) for verdict in verdicts
    )
    judged += "".join(_row(name, "off", why, None) for name, why in silent.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1><p><b>{escape(decision)}</b></p>"
        f"<ul>{''.join(f'<li>{escape(fact)}</li>' for fact in facts)}</ul>"
        f"<h2>Gates</h2><table><tr><th>Gate</th><th>Verdict</th><th>Why</th></tr>{judged}</table>"
        f'<h2>Charts</h2><div class="charts">{"".join(charts)}</div>'
        f"<h2>Metrics</h2>{_metrics(metrics)}</body></html>\n"
    )


def _row(check: str, outcome: str, reason: str, act: object) -> str:
    told = f"{outcome} (warns only)" if act == "warn" and outcome == "fail" else outcome
    return f'<tr><td>{escape(check)}</td><td class="{outcome}">{told}</td><td>{escape(reason)}</td></tr>'


def _metrics(columns: Mapping[str, Mapping[str, float]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    names = [name for name in next(iter(columns.values())) if not name.endswith(("_lower", "_upper"))]
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f'<td class="n">{_number(values.get(name))}</td>' for values in columns.values())
        + "</tr>"
        for name in names
    )
    return f"<table><tr><th>Metric</th>{head}</tr>{rows}</table>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
