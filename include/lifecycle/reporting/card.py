"""The model card of a version: `README.md` with the Hub's metadata block, `card.html`, and the facts that both come from.

Registration writes it into the version; the command `card` renders it again with where the version stands now.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from include.lifecycle.reporting.card_facts import CardFacts, CardStatus
from include.lifecycle.reporting.hub_metadata import front_matter
from include.lifecycle.reporting.page import Block, Bullets, Paragraph, Part, Table, to_html, to_markdown
from include.lifecycle.verdicts import Outcome, Verdict

FACTS, MARKDOWN, HTML = "facts.json", "README.md", "card.html"
_UNTOLD = "Not told in the model's YAML (section card)."


def write_card(folder: Path, facts: CardFacts, status: CardStatus | None = None) -> None:
    """Write the card's three files into `folder`; the same facts and status give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FACTS).write_text(facts.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / MARKDOWN).write_text(card_markdown(facts, status), encoding="utf-8")
    (folder / HTML).write_text(card_html(facts, status), encoding="utf-8")


def card_markdown(facts: CardFacts, status: CardStatus | None = None) -> str:
    """The card as Markdown, metadata block first."""
    return front_matter(facts) + "\n" + to_markdown(_title(facts), _parts(facts, status))


def card_html(facts: CardFacts, status: CardStatus | None = None) -> str:
    """The card as one HTML file."""
    return to_html(_title(facts), _parts(facts, status))


def _title(facts: CardFacts) -> str:
    return f"{facts.model}, version {facts.version} ({facts.semver})"


def _parts(facts: CardFacts, status: CardStatus | None) -> list[Part]:
    return [
        Part("What it is", _identity(facts)),
        Part("Deployment", _deployment(facts, status)),
        Part("Intended use", [Paragraph(facts.words.intended_use or _UNTOLD)]),
        Part("Out of scope", [Paragraph(facts.words.out_of_scope or _UNTOLD)]),
        Part("Data", _data(facts)),
        Part("Metrics", _metrics(facts)),
        Part("Gates", [Paragraph(f"Outcome: {facts.reason}."), _verdicts(facts.verdicts)]),
        Part("Fairness", _fairness(facts)),
        Part("What it looks at", _importance(facts)),
        Part("Limits", [Bullets(_limits(facts))]),
        Part("Lineage", [_pairs(facts.lineage | facts.digests)]),
        Part("Files", [_pairs({"engine": facts.engine, **facts.exports})]),
    ]


def _identity(facts: CardFacts) -> list[Block]:
    kind = facts.task.replace("_", " ")
    return [
        Paragraph(facts.description or f"Predicts {facts.target}."),
        _pairs(
            {
                "Task": f"{kind} of {facts.target}",
                "Algorithm": f"{facts.algorithm} {json.dumps(facts.params, sort_keys=True, default=str)}",
                "Owner": facts.owner,
                "Tier, risk": f"{facts.tier}, {facts.risk}",
                "Registered (event time, UTC)": f"{facts.registered_at:%Y-%m-%d %H:%M}",
                "License": facts.words.license or "not told",
            }
        ),
    ]


def _deployment(facts: CardFacts, status: CardStatus | None) -> list[Block]:
    if status is None:
        allowed = "may be rolled out" if facts.deployable else "is not rolled out"
        return [Paragraph(f"As registered: it {allowed}. `cli card {facts.model} {facts.version}` tells where it stands now.")]
    held = ", ".join(status.aliases) or "none"
    blocks: list[Block] = [Paragraph(f"On {status.at:%Y-%m-%d %H:%M} UTC: stage {status.stage}, aliases: {held}.")]
    if status.events:
        rows = [(f"{at:%Y-%m-%d %H:%M}", act, reason) for at, act, reason in status.events]
        blocks.append(Table(("At (UTC)", "What happened", "Why"), rows))
    return blocks


def _data(facts: CardFacts) -> list[Block]:
    start, end = facts.window
    told = {
        "Window": f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC",
        "Learnt from": f"{facts.data.get('train_rows', 0):,} rows until {facts.data.get('fit_until', '')}",
        "Judged on": f"{facts.data.get('holdout_rows', 0):,} newer rows until {facts.data.get('holdout_until', '')}",
    }
    if (share := facts.data.get("positive_share")) is not None:
        told["Share of the positive class in training"] = f"{share:.4f}"
    kinds = {"numeric": facts.numeric, "categorical": facts.categorical}
    features = "; ".join(f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds.items())
    return [_pairs(told), Paragraph(f"Features: {features}.")]


def _metrics(facts: CardFacts) -> list[Block]:
    columns = {"This version": facts.metrics, "Baseline": facts.baseline_metrics}
    if facts.champion_metrics is not None:
        columns["Champion then (rows after both fits)"] = facts.champion_metrics
    names = [name for name in facts.metrics if not name.endswith(("_lower", "_upper"))]
    rows = [(_bounded(facts, name), *(_number(values.get(name)) for values in columns.values())) for name in names]
    return [Paragraph(f"On the hold-out. It is judged by {facts.metric}."), Table(("Metric", *columns), rows)]


def _bounded(facts: CardFacts, name: str) -> str:
    low, high = facts.metrics.get(f"{name}_lower"), facts.metrics.get(f"{name}_upper")
    return name if low is None or high is None else f"{name} (interval {low:.4f} to {high:.4f})"


def _verdicts(verdicts: Sequence[Verdict]) -> Table:
    rows = [(verdict.check, verdict.outcome.value, verdict.reason, _numbers(verdict.evidence)) for verdict in verdicts]
    return Table(("Gate", "Verdict", "Why", "Numbers"), rows)


def _fairness(facts: CardFacts) -> list[Block]:
    found = [verdict for verdict in facts.verdicts if verdict.check.startswith("fairness")]
    if found:
        return [_verdicts(found)]
    return [Paragraph("No attribute is declared (evaluation.fairness.attributes), so no group was compared.")]


def _importance(facts: CardFacts) -> list[Block]:
    if not facts.importance:
        return [Paragraph("Permutation importance was not measured for this version.")]
    ranked = sorted(facts.importance.items(), key=lambda pair: (-pair[1], pair[0]))
    return [
        Paragraph(f"Loss of {facts.metric} on the hold-out when one feature's values are shuffled."),
        Table(("Feature", "Loss"), [(name, _number(value)) for name, value in ranked]),
    ]


def _limits(facts: CardFacts) -> list[str]:
    open_ones = [verdict for verdict in facts.verdicts if verdict.outcome is not Outcome.PASS]
    measured = [f"{verdict.check} is {verdict.outcome.value}: {verdict.reason}" for verdict in open_ones]
    until = facts.data.get("fit_until", "")
    always = f"It knows nothing that happened after {until}; rows unlike its training window were never tested."
    return [*facts.words.limitations, *measured, always]


def _pairs(values: dict[str, str]) -> Table:
    return Table(("", ""), list(values.items()))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _numbers(evidence: dict[str, Any]) -> str:
    """The plain numbers of a verdict's evidence, by name."""
    plain = {name: value for name, value in evidence.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    return ", ".join(f"{name} {value:.6g}" for name, value in plain.items())
