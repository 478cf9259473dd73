"""What a person is shown before saying yes: plan, estimate, gates, metrics and the difference to the champion, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from include.lifecycle.rollout.approving.change_size import Change
from include.lifecycle.rollout.approving.need import ApprovalNeed
from include.lifecycle.rollout.states import Plan
from include.lifecycle.storage import segment
from include.lifecycle.tables import candidates, ledger
from include.lifecycle.units import format_duration
from include.lifecycle.verdicts import Outcome, Verdict

_EVALUATED = "evaluate:"
_LONGEST = 300


def question(
    plan: Plan,
    need: ApprovalNeed,
    change: Change | None,
    candidate: RowMapping | None,
    judged: Mapping[str, Any],
    told: Sequence[str],
) -> str:
    """The body of the question. `judged`: evidence of the evaluation's ledger entry; `told`: the plan in sentences."""
    run_id = candidate["run_id"] if candidate else None
    parts = [
        [f"**Who:** {need.told}."],
        _requesters(plan),
        ["### Plan", *(f"- {line}" for line in told), *_limits(plan)],
        [
            "### Change",
            f"Against the champion, version {plan.champion}: {change.told}." if change else "There is no champion yet.",
        ],
        _gates(judged, candidate),
        _metrics(judged),
        [f"[Evaluation report](/modelops/v1/models/{plan.model}/reports/evaluation-{segment(run_id)}.html)"] if run_id else [],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def evidence_of(connection: Connection, model: str, candidate_id: int | None) -> tuple[RowMapping | None, dict[str, Any]]:
    """The candidate's row, and what its evaluation's entry in the ledger holds (empty when there is none)."""
    candidate = connection.execute(select(candidates).where(candidates.c.id == candidate_id)).mappings().first()
    if candidate is None:
        return None, {}
    mine = (ledger.c.model == model) & (ledger.c.run_id == candidate["run_id"]) & (ledger.c.kind == "gate")
    evaluated = ledger.c.idempotency_key.startswith(_EVALUATED)
    newest = connection.execute(select(ledger.c.evidence).where(mine, evaluated).order_by(ledger.c.id.desc()).limit(1)).scalar()
    return candidate, dict(newest or {})


def _requesters(plan: Plan) -> list[str]:
    return [f"**Asked for by:** {', '.join(plan.requested_by)}; who asked may not approve."] if plan.requested_by else []


def _limits(plan: Plan) -> list[str]:
    limits = plan.limits
    return [
        f"- Goes back by itself above {limits.error_rate:.0%} errors, {limits.latency_ratio:g} times the champion's p95, or "
        f"{limits.performance_drop:.0%} of its skill lost; bake {format_duration(plan.bake)}."
    ]


def _gates(judged: Mapping[str, Any], candidate: RowMapping | None) -> list[str]:
    reason = (candidate["evidence"] or {}).get("reason") if candidate else None
    verdicts = [Verdict.model_validate(one) for one in judged.get("verdicts", [])]
    head = ["### Gates", *([f"{reason}."] if reason else [])]
    if not verdicts:
        return head if reason else []
    rows = [f"| {one.check} | {_sign(one)} | {_cell(one.reason)} |" for one in verdicts]
    return [*head, "", "| Gate | Verdict | Why |", "|---|---|---|", *rows]


def _metrics(judged: Mapping[str, Any]) -> list[str]:
    """This version, the champion (both on the rows after both fits, where it was scored) and the trivial baseline."""
    own, champion, baseline = (judged.get(name) or {} for name in ("metrics", "champion_metrics", "baseline_metrics"))
    names = [name for name in own if not name.endswith(("_lower", "_upper"))]
    if not names:
        return []
    rows = [f"| {name} | {_number(own, name)} | {_number(champion, name)} | {_number(baseline, name)} |" for name in names]
    return ["### Metrics", "", "| Metric | This version | Champion | Baseline |", "|---|---:|---:|---:|", *rows]


def _number(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return "" if value is None else f"{float(value):.4f}"


def _sign(verdict: Verdict) -> str:
    return "**fail**" if verdict.outcome is Outcome.FAIL else verdict.outcome.value


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:_LONGEST]
