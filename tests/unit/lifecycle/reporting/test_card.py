"""The model card: shape of the Hub's metadata block, every number of every gate, escaped text, honest gaps."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
import yaml

from include.lifecycle.reporting.card import card_html, card_markdown
from include.lifecycle.reporting.card_facts import CardFacts, CardStatus
from include.lifecycle.reporting.hub_metadata import hub_metadata
from include.lifecycle.reporting.page import Bullets, Paragraph, Part, Table, to_html, to_markdown
from include.lifecycle.spec import CardSection
from include.lifecycle.verdicts import Outcome, Verdict

NOW = datetime(2013, 8, 1, tzinfo=UTC)


def facts(**changes: object) -> CardFacts:
    values: dict[str, object] = {
        "model": "churn",
        "version": 3,
        "semver": "1.2.0",
        "description": "Who leaves <soon>?",
        "owner": "team",
        "tier": "primary",
        "risk": "medium",
        "task": "binary_classification",
        "metric": "roc_auc",
        "algorithm": "lightgbm",
        "params": {"n_estimators": 50},
        "engine": "onnx",
        "target": "left",
        "numeric": ["age"],
        "categorical": ["plan"],
        "words": CardSection(
            license="apache-2.0", intended_use="Calls | letters", out_of_scope="", limitations=["One."], tags=["crm"]
        ),
        "data": {
            "train_rows": 1000,
            "holdout_rows": 200,
            "fit_until": "2013-07-01",
            "holdout_until": "2013-07-20",
            "positive_share": 0.25,
        },
        "window": (datetime(2013, 2, 1, tzinfo=UTC), NOW),
        "verdicts": [
            Verdict(check="floor", outcome=Outcome.PASS, reason="0.71 is above 0.6", evidence={"value": 0.7123456, "rows": 200}),
            Verdict(check="fairness:plan", outcome=Outcome.INCONCLUSIVE, reason="group b has 12 rows", evidence={"gap": 0.04}),
        ],
        "deployable": True,
        "reason": "no gate failed",
        "metrics": {"roc_auc": 0.7123456, "roc_auc_lower": 0.70, "roc_auc_upper": 0.72, "brier_score": 0.2, "f1": float("nan")},
        "baseline_metrics": {"roc_auc": 0.5},
        "champion_metrics": None,
        "importance": {"age": 0.01, "plan": 0.2},
        "lineage": {"run_id": "manual__1"},
        "digests": {"snapshot_id": "abc"},
        "exports": {"onnx": "serving/model.onnx"},
        "registered_at": NOW,
    }
    return CardFacts.model_validate(values | changes)


def test_the_metadata_block_has_the_shape_that_the_hub_reads() -> None:
    """Keys as in the Hub's model card specification: results need task.type, dataset.type and .name, metrics type and value."""
    card = card_markdown(facts())
    start, block, _ = card.split("---\n", 2)
    data = yaml.safe_load(block)
    assert start == ""
    assert set(data) <= {"license", "library_name", "pipeline_tag", "tags", "metrics", "model-index"}
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == ("apache-2.0", "sklearn", "tabular-classification")
    assert data["tags"] == ["tabular-classification", "binary_classification", "lightgbm", "crm"]
    (entry,) = data["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "churn"
    assert result["task"]["type"] == "tabular-classification"
    assert {"type", "name"} <= set(result["dataset"])
    assert result["metrics"] == [
        {"type": "roc_auc", "name": "roc_auc", "value": 0.7123456},
        {"type": "brier_score", "name": "brier_score", "value": 0.2},
    ]
    assert data["metrics"] == ["roc_auc", "brier_score"], "a metric without a number is no result"


def test_a_licence_that_is_not_told_is_left_out_and_regression_has_its_own_tag() -> None:
    words = CardSection(license=None, intended_use="", out_of_scope="", limitations=[], tags=[])
    block = hub_metadata(facts(words=words, task="regression"))
    assert "license" not in block
    assert block["pipeline_tag"] == "tabular-regression"
    assert "Not told in the model's YAML" in card_markdown(facts(words=words))


@pytest.mark.parametrize("render", [card_markdown, card_html])
def test_a_card_says_all_gates_with_their_numbers(render) -> None:
    shown = render(facts())
    for text in (
        "0.712346",
        "rows 200",
        "group b has 12 rows",
        "gap 0.04",
        "0.7000 to 0.7200",
        "manual",
        "One.",
        "cli card churn 3",
    ):
        assert text in shown.replace("\\", ""), text
    ranked = [shown.index(name) for name in ("| plan | 0.2000", "| age | 0.0100")] if render is card_markdown else [0, 1]
    assert ranked == sorted(ranked)
    assert "fairness:plan is inconclusive" in shown.replace("\\", "")


def test_status_is_shown_only_where_it_is_known() -> None:
    status = CardStatus(at=NOW, stage="Production", aliases=["champion"], events=[(NOW, "promote 3", "better")])
    shown = card_markdown(facts(), status)
    assert "stage Production, aliases: champion" in shown
    assert "| 2013-08-01 00:00 | promote 3 | better |" in shown
    assert "As registered" in card_markdown(facts())


def test_text_never_becomes_markup() -> None:
    parts = [Part("A <b>", [Paragraph("x | y <script>"), Bullets(["* [a](b)"]), Table(("h",), [("a|b\nc",)])])]
    text, page = to_markdown("T", parts), to_html("T", parts)
    assert "x \\| y \\<script\\>" in text
    assert "| a\\|b c |" in text
    assert "<script>" not in page
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.append(tag)

    Reader().feed(page)
    assert set(tags) <= {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "p",
        "ul",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
