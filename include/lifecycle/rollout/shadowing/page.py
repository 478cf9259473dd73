"""The report of a shadow: agreement, differences, ranks, latency and the worst rows, on one page among the model's reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from include.lifecycle.evaluation.plots import line_chart
from include.lifecycle.rollout.evidence import PairEvidence
from include.lifecycle.rollout.shadowing.pairing import Counted
from include.lifecycle.rollout.states import Plan
from include.lifecycle.rollout.telling.report_page import Section, number, report_page
from include.lifecycle.storage import Storage, segment, write_whole
from include.lifecycle.verdicts import Verdict

_BELOW = "Features stand as the prediction log holds them: columns with pii: hash as hashes, those with pii: drop not at all."


def page_name(run_id: str) -> str:
    """File name of a run's shadow page among the model's reports."""
    return f"shadow-{segment(run_id)}.html"


def write_page(storage: Storage, run_id: str, plan: Plan, evidence: PairEvidence, counted: Counted, verdict: Verdict) -> Path:
    """Write the page and return where it lies."""
    path = storage.reports(plan.model) / page_name(run_id)
    write_whole(path, shadow_page(plan, evidence, counted, verdict))
    return path


def shadow_page(plan: Plan, evidence: PairEvidence, counted: Counted, verdict: Verdict) -> str:
    """The page of one shadow as far as it went."""
    mirror = plan.shadow.mirror if plan.shadow else 0
    title = f"Shadow of {plan.model}: version {plan.version} beside champion {plan.champion}"
    told = {"pass": "It agrees enough.", "fail": "It disagrees too often."}.get(verdict.outcome.value, "Not to be told yet.")
    facts = [
        f"{mirror} % of the live requests were copied; clients saw the champion's answers only",
        f"{evidence.pairs:,} requests with {counted.rows:,} rows were answered by both; {counted.alone:,} rows of the shadow met "
        f"no answer of the champion",
        f"Quantiles, ranks and charts are of {len(counted.sample):,} rows, chosen by their request ids; the rest is of all",
    ]
    return report_page(title, told, facts, [verdict], _charts(counted), _sections(evidence, counted))


def _charts(counted: Counted) -> list[str]:
    found = np.array(counted.sample, dtype=np.float64).reshape(-1, 5)
    if not len(found):
        return []
    level, differences = np.linspace(0, 1, len(found)), np.sort(found[:, 2] - found[:, 1])
    latency = [(name, np.sort(found[:, at]), level) for name, at in (("champion", 3), ("shadow", 4))]
    return [
        line_chart("Predictions", "champion", "shadow", [("rows", found[:, 1], found[:, 2])], diagonal=True, dots=True),
        line_chart("Differences", "shadow less champion", "share of rows below", [("rows", differences, level)]),
        line_chart("Latency", "milliseconds in the model server", "share of rows below", latency),
    ]


def _sections(evidence: PairEvidence, counted: Counted) -> list[Section]:
    told = evidence.detail
    ranks = told.get("rank_shift") or {}
    numbers = [
        ("Mean difference", number(told["mean_difference"], 6)),
        ("Mean absolute difference", number(told["mean_absolute_difference"], 6)),
        ("Largest absolute difference", number(told["largest_difference"], 6)),
        *(
            (f"Quantile {level} of the differences", number(value, 6))
            for level, value in told.get("difference_quantiles", {}).items()
        ),
        ("Spearman's rank correlation", number(ranks.get("spearman"))),
        ("Mean shift in rank, share of rows", number(ranks.get("mean_shift"))),
    ]
    latency = [
        (arm, *(number(told["latency_ms"][arm][level], 3) for level in ("p50", "p95", "p99"))) for arm in ("live", "shadow")
    ]
    return [
        Section("Differences", ("Shadow less champion", "Value"), numbers),
        Section("Latency in milliseconds", ("Answer", "p50", "p95", "p99"), latency),
        _worst(counted.worst),
    ]


def _worst(rows: Sequence[Mapping[str, Any]]) -> Section:
    names = list(dict.fromkeys(name for row in rows for name in (row["features"] or {})))
    head = ("Request", "Row", "Key", "Champion", "Shadow", "Same", "Difference", *names)
    cells = [
        (
            str(row["request_id"]),
            str(row["row"]),
            "" if row["key"] is None else str(row["key"]),
            _cell(row["live"]),
            _cell(row["shadow"]),
            "yes" if row["same"] else "no",
            number(row["difference"]),
            *(_cell((row["features"] or {}).get(name)) for name in names),
        )
        for row in rows
    ]
    return Section("Worst rows", head, cells, _BELOW)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
