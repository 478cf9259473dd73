"""The evaluation as files: `evaluation.json` for machines, `evaluation.md` for people; both are stored with the version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from include.lifecycle.results import Evaluation, PreparedData, TrainedModel, TrainingOrder
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Verdict

REPORT, PAGE = "evaluation.json", "evaluation.md"
_SIGNS = {"pass": "pass", "fail": "**fail**", "inconclusive": "inconclusive"}


def write_report(
    folder: Path, spec: ModelSpec, order: TrainingOrder, prepared: PreparedData, trained: TrainedModel, evaluation: Evaluation
) -> None:
    """Write both files into `folder`; the same inputs give the same bytes."""
    plain = {
        "model": spec.name,
        "spec_hash": spec.digest,
        "order": order.model_dump(mode="json"),
        "data": prepared.model_dump(mode="json", exclude={"train", "holdout"}),
        "training": trained.model_dump(mode="json", exclude={"folder"}),
        "evaluation": evaluation.model_dump(mode="json", exclude={"report"}),
    }
    (folder / REPORT).write_text(json.dumps(plain, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(_page(spec, order, prepared, trained, evaluation), encoding="utf-8")


def _page(spec: ModelSpec, order: TrainingOrder, prepared: PreparedData, trained: TrainedModel, evaluation: Evaluation) -> str:
    head = [
        f"# Evaluation of {spec.name}",
        "",
        f"**{'May be rolled out' if evaluation.deployable else 'Is not rolled out'}**: {evaluation.reason}.",
        "",
        f"- Trained because: {order.reason} ({order.source})",
        f"- Algorithm: {trained.algorithm}, `{json.dumps(trained.params, sort_keys=True, default=str)}`",
        f"- Learnt from {prepared.train_rows:,} rows until {prepared.fit_until:%Y-%m-%d %H:%M} UTC",
        f"- Judged on {prepared.holdout_rows:,} rows until {prepared.holdout_until:%Y-%m-%d %H:%M} UTC",
        "",
    ]
    return "\n".join([*head, *_verdict_table(evaluation.verdicts), "", *_metric_table(evaluation), ""])


def _verdict_table(verdicts: list[Verdict]) -> list[str]:
    rows = [f"| {verdict.check} | {_SIGNS[verdict.outcome.value]} | {_cell(verdict.reason)} |" for verdict in verdicts]
    return ["| Gate | Verdict | Why |", "|---|---|---|", *rows]


def _metric_table(evaluation: Evaluation) -> list[str]:
    columns: dict[str, dict[str, Any]] = {"This model": evaluation.metrics, "Baseline": evaluation.baseline_metrics}
    if evaluation.champion_metrics is not None:
        columns["Champion (rows after both fits)"] = evaluation.champion_metrics
    head = [f"| Metric | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    names = [name for name in evaluation.metrics if not name.endswith(("_lower", "_upper"))]
    return head + [f"| {name} | {' | '.join(_number(values.get(name)) for values in columns.values())} |" for name in names]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
