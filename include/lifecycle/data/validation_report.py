"""The report of validate_data: `validation.json` for programs, and the same as one HTML page for people, linked from the task."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from include.lifecycle.data.findings import Finding
from include.lifecycle.data.quarantine import BadRows
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.storage import segment, write_whole
from include.lifecycle.verdicts import Outcome, Verdict

REPORT_FILE, PAGE_FILE = "validation.json", "validation.html"
_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem;max-width:75rem}table{border-collapse:collapse;width:100%}"
    "td,th{border-bottom:1px solid #ccc;padding:.25rem .6rem;text-align:left;vertical-align:top}"
    ".fail{color:#b00020}.inconclusive,.warning{color:#9a6700}.pass{color:#1a7f37}"
)


def report_content(run: RunContext, data: Path, bad: BadRows, findings: list[Finding], verdict: Verdict) -> dict[str, Any]:
    """The JSON report: verdict, rows, quarantine by reason, and every check."""
    return {
        "model": run.model,
        "run": run.run_id,
        "data": str(data),
        "rows": bad.rows,
        "clean_rows": bad.rows - bad.count,
        "quarantined": bad.count,
        "quarantine": bad.counts,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
        "success": verdict.passed,
        "checks": [finding.model_dump(mode="json") for finding in findings],
    }


def write_report(folder: Path, content: dict[str, Any]) -> None:
    """Both forms into the stage's folder."""
    (folder / REPORT_FILE).write_text(json.dumps(content, indent=1), encoding="utf-8")
    (folder / PAGE_FILE).write_text(page_of(content), encoding="utf-8")


def publish_page(rt: Runtime, run: RunContext, content: dict[str, Any]) -> Path:
    """Write the page where the REST app finds a model's reports; returns its path."""
    path = rt.storage.reports(run.model) / f"validation-{segment(run.run_id)}.html"
    write_whole(path, page_of(content))
    return path


def page_of(content: dict[str, Any]) -> str:
    """The HTML page: what decided first, then quarantine, then every check."""
    order = {Outcome.FAIL: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}
    checks = sorted(content["checks"], key=lambda check: order[Outcome(check["outcome"])])
    title = f"Data of {content['model']}, run {content['run']}"
    reasons = "".join(_row([reason, f"{count:,}"]) for reason, count in content["quarantine"].items())
    quarantine = f"<h2>Quarantine</h2><table>{_row(['reason', 'rows'], 'th')}{reasons}</table>" if reasons else ""
    rows = "".join(map(_check_row, checks))
    head = _row(["check", "column", "outcome", "rows not meeting it", "examples", "detail"], "th")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f'<body><h1>{escape(title)}</h1><p class="{content["outcome"]}"><b>{content["outcome"]}</b>: '
        f"{escape(content['reason'])}</p>"
        f"<p>{content['rows']:,} rows fetched, {content['quarantined']:,} in quarantine, {content['clean_rows']:,} clean.</p>"
        f"{quarantine}<h2>Checks</h2><table>{head}{rows}</table></body></html>\n"
    )


def _check_row(check: dict[str, Any]) -> str:
    outcome = f"{check['outcome']} (warning)" if check["warning"] and check["outcome"] != Outcome.PASS else check["outcome"]
    counted = "" if check["unexpected"] is None else f"{check['unexpected']:,} of {check['rows'] or 0:,}"
    shown = ", ".join(map(repr, check["examples"]))
    cells = [check["check"], check["column"] or "", outcome, counted, shown, check["detail"]]
    return _row(cells, kind="warning" if check["warning"] else check["outcome"])


def _row(cells: list[str], tag: str = "td", kind: str = "") -> str:
    return f'<tr class="{kind}">' + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
