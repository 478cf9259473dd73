"""The evaluation as files: `evaluation.json` for machines, `.md` and `.html` for people, `importance.json` as baseline.

All are stored with the version in MLflow; the page also lies among the model's reports, where the task's link finds it.
"""

from __future__ import annotations

import json
from pathlib import Path

from include.lifecycle.evaluation.case import Case
from include.lifecycle.evaluation.curves import charts
from include.lifecycle.evaluation.importance import IMPORTANCE_FILE
from include.lifecycle.evaluation.judging import warns_only
from include.lifecycle.evaluation.page import html_page
from include.lifecycle.results import Evaluation, PreparedData, TrainedModel, TrainingOrder
from include.lifecycle.runtime import RunContext, Runtime
from include.lifecycle.storage import segment, write_whole
from include.lifecycle.verdicts import Verdict

REPORT, PAGE, HTML = "evaluation.json", "evaluation.md", "evaluation.html"
_SIGNS = {"pass": "pass", "fail": "**fail**", "inconclusive": "inconclusive"}


def write_report(
    folder: Path, case: Case, order: TrainingOrder, prepared: PreparedData, trained: TrainedModel, evaluation: Evaluation
) -> None:
    """Write all files into `folder`; the same inputs give the same bytes."""
    spec = case.spec
    plain = {
        "model": spec.name,
        "spec_hash": spec.digest,
        "order": order.model_dump(mode="json"),
        "data": prepared.model_dump(mode="json", exclude={"train", "holdout"}),
        "training": trained.model_dump(mode="json", exclude={"folder"}),
        "evaluation": evaluation.model_dump(mode="json", exclude={"report"}),
    }
    (folder / REPORT).write_text(json.dumps(plain, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    title, facts = f"Evaluation of {spec.name}", _facts(order, prepared, trained)
    head = [f"# {title}", "", f"**{_word(evaluation)}**: {evaluation.reason}.", "", *(f"- {fact}" for fact in facts), ""]
    tables = [*_verdict_table(evaluation), "", *_metric_table(evaluation), ""]
    (folder / PAGE).write_text("\n".join([*head, *tables]), encoding="utf-8")
    page = html_page(
        title,
        f"{_word(evaluation)}: {evaluation.reason}.",
        [fact.replace("`", "") for fact in facts],
        evaluation.verdicts,
        evaluation.switched_off,
        _columns(evaluation),
        list(charts(case, evaluation.verdicts)),
    )
    (folder / HTML).write_text(page, encoding="utf-8")
    if case.importance is not None:
        (folder / IMPORTANCE_FILE).write_text(case.importance.to_json(), encoding="utf-8")


def publish_page(rt: Runtime, run: RunContext, folder: Path) -> Path:
    """Copy the page to the model's reports, under the name that the task's link expects; returns where it lies."""
    target = rt.storage.reports(run.model) / page_name(run.run_id)
    write_whole(target, (folder / HTML).read_bytes())
    return target


def page_name(run_id: str) -> str:
    """File name of a run's evaluation page among the model's reports."""
    return f"evaluation-{segment(run_id)}.html"


def earlier_verdicts(folder: Path, digest: str) -> list[Verdict]:
    """Verdicts that an earlier try of the same task wrote about the model file with this sha256; none when there was none."""
    file = folder / REPORT
    if not file.is_file():
        return []
    told = json.loads(file.read_text(encoding="utf-8"))
    if told["training"]["digest"] != digest:
        return []
    return [Verdict.model_validate(verdict) for verdict in told["evaluation"]["verdicts"]]


def _word(evaluation: Evaluation) -> str:
    return "May be rolled out" if evaluation.deployable else "Waits for a person" if evaluation.held else "Is not rolled out"


def _facts(order: TrainingOrder, prepared: PreparedData, trained: TrainedModel) -> list[str]:
    return [
        f"Trained because: {order.reason} ({order.source})",
        f"Algorithm: {trained.algorithm}, `{json.dumps(trained.params, sort_keys=True, default=str)}`",
        f"Learnt from {prepared.train_rows:,} rows until {prepared.fit_until:%Y-%m-%d %H:%M} UTC",
        f"Judged on {prepared.holdout_rows:,} rows until {prepared.holdout_until:%Y-%m-%d %H:%M} UTC",
    ]


def _verdict_table(evaluation: Evaluation) -> list[str]:
    rows = [f"| {one.check} | {_sign(one)} | {_cell(one.reason)} |" for one in evaluation.verdicts]
    rows += [f"| {name} | off | {_cell(why)} |" for name, why in evaluation.switched_off.items()]
    return ["| Gate | Verdict | Why |", "|---|---|---|", *rows]


def _sign(verdict: Verdict) -> str:
    return "fail (warns only)" if verdict.failed and warns_only(verdict) else _SIGNS[verdict.outcome.value]


def _columns(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    columns = {"This model": evaluation.metrics, "Baseline": evaluation.baseline_metrics}
    if evaluation.champion_metrics is not None:
        columns["Champion (rows after both fits)"] = evaluation.champion_metrics
    return columns


def _metric_table(evaluation: Evaluation) -> list[str]:
    columns = _columns(evaluation)
    head = [f"| Metric | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    names = [name for name in evaluation.metrics if not name.endswith(("_lower", "_upper"))]
    return head + [f"| {name} | {' | '.join(_number(values.get(name)) for values in columns.values())} |" for name in names]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
