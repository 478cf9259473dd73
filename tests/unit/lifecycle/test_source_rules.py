"""Where rows and outcomes come from: exactly one source, its labels, its connection, and readable feature stores."""

from __future__ import annotations

import pytest

from include.lifecycle.loading import load_model
from tests.unit.lifecycle.conftest import CHURN, Project

FILES = "data: {dataset: {path: lake/*.parquet, format: parquet}, key: customer, event_time: seen_at, target: left}"
QUERIED = "data: {connection: production_db, query: churn/training.sql, key: customer, event_time: seen_at, target: left}"
STORE = "store: [{table: visits, entity: customer, event_time: at, columns: [visits], max_age: 30d}]"


def dataset_model(data: str = FILES, labels: str = "labels: {known_at: known_at}") -> str:
    return CHURN.replace(QUERIED, data).replace("labels: {query: churn/labels.sql}", labels)


def test_a_dataset_needs_neither_connection_nor_queries(project: Project):
    for labels in ("labels: {known_at: known_at}", "labels: {}"):
        project.write(dataset_model(labels=labels))
        spec = load_model("churn", settings=project.settings)
        assert spec.data.dataset is not None
        assert (spec.data.query, spec.data.connection, spec.labels.query) == (None, None, None)
        assert spec.data.source == "dataset lake/*.parquet"


def test_a_store_is_declared_beside_the_features(project: Project):
    project.write(CHURN.replace("categorical: [plan]", f"categorical: [plan], {STORE}"))
    spec = load_model("churn", settings=project.settings)
    assert spec.features.store[0].columns == ["visits"]
    assert spec.features.store[0].max_age.days == 30


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (dataset_model(QUERIED.replace("query: churn/training.sql, ", "")), "data: no source of rows; give either query"),
        (
            CHURN.replace("query: churn/training.sql", "query: churn/training.sql, dataset: {path: x, format: csv}"),
            "data.dataset: data.query is given too; rows come from one of both",
        ),
        (CHURN.replace("connection: production_db, ", ""), "data.connection: missing, and data.query needs it"),
        (
            dataset_model(FILES.replace("key:", "connection: db, key:")),
            "data.connection: got 'db'; a dataset uses a connection only",
        ),
        (dataset_model(labels="labels: {query: churn/labels.sql}"), "labels.query: data.dataset is given, and outcomes are its"),
        (CHURN.replace("labels: {query: churn/labels.sql}\n", ""), "labels.query: missing, and data.query needs it"),
        (CHURN.replace("labels.sql}", "labels.sql, known_at: x}"), "labels.known_at: got 'x'; it names a column of data.dataset"),
        (dataset_model(FILES.replace("parquet}", "orc}")), "data.dataset.format: got 'orc'; allowed: parquet, csv"),
        (dataset_model(FILES.replace(", format: parquet", "")), "data.dataset.format: missing, and it is required"),
        (CHURN.replace("[plan]", f"[plan], {STORE.replace('visits,', 'x.sql,')}"), "features.store[0].table: no such file"),
        (CHURN.replace("[plan]", f"[plan], {STORE.replace('visits,', '../x.sql,')}"), "features.store[0].table: got '../x.sql'"),
        (CHURN.replace("[plan]", f"[plan], {STORE.replace('[visits]', '[]')}"), "features.store[0].columns: got []; allowed"),
        (
            CHURN.replace("[plan]", f"[plan], {STORE.replace('[visits]', '[a, a]')}"),
            "features.store[0].columns: 'a' is looked up",
        ),
        (dataset_model().replace("[plan]", f"[plan], {STORE}"), "features.store: features are looked up in the database"),
    ],
)
def test_what_does_not_fit_is_named_with_its_key(project: Project, text: str, told: str):
    problems = project.problems(text)
    assert [line for line in problems if told in line], problems
    assert len(problems) <= 2
