"""The metadata block of a model card: YAML front matter as the Hugging Face Hub reads it.

Source: the Hub's model card specification (`modelcard.md`, keys license, library_name, pipeline_tag, tags, metrics, model-index).
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from include.lifecycle.reporting.card_facts import CardFacts

PIPELINE_TAGS = {
    "binary_classification": "tabular-classification",
    "multiclass_classification": "tabular-classification",
    "regression": "tabular-regression",
}


def front_matter(facts: CardFacts) -> str:
    """The block between its two `---` lines; keys in the specification's order."""
    return f"---\n{yaml.safe_dump(hub_metadata(facts), sort_keys=False, allow_unicode=True, width=1000)}---\n"


def hub_metadata(facts: CardFacts) -> dict[str, Any]:
    """The block as data. A metric without a finite value is left out: the specification wants numbers."""
    kind = PIPELINE_TAGS[facts.task]
    values = {name: value for name, value in facts.metrics.items() if math.isfinite(value)}
    names = [name for name in values if not name.endswith(("_lower", "_upper"))]
    block: dict[str, Any] = {"license": facts.words.license} if facts.words.license else {}
    block |= {
        "library_name": "sklearn",
        "pipeline_tag": kind,
        "tags": [kind, facts.task, facts.algorithm, *facts.words.tags],
        "metrics": names,
    }
    dataset = {
        "type": facts.model,
        "name": f"{facts.model} hold-out until {facts.data.get('holdout_until', '')}",
        "split": "holdout",
        "revision": facts.digests.get("snapshot_id", ""),
    }
    result = {
        "task": {"type": kind, "name": facts.task.replace("_", " ")},
        "dataset": dataset,
        "metrics": [{"type": name, "name": name, "value": values[name]} for name in names],
    }
    return block | {"model-index": [{"name": facts.model, "results": [result]}]}
