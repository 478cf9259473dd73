"""What the metrics say of a request's rows, by task."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from include.serving.metrics import BatchHistogram, ServerMetrics
from include.serving.outputs import Predicted
from tests.unit.serving.folders import serving_spec

OWN = {"model": "flights", "version": "3"}


def sample(metrics: ServerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, OWN | labels)


def test_of_regression_the_scores_are_summed() -> None:
    metrics = ServerMetrics(replace(serving_spec(), task="regression"), "0")
    metrics.answered(3, Predicted([-5.0, 1e6, 2.5]))
    assert sample(metrics, "model_prediction_score_count") == 3
    assert sample(metrics, "model_prediction_score_sum") == 1e6 - 2.5


def test_of_classes_the_most_probable_one_s_share_is_counted() -> None:
    metrics = ServerMetrics(replace(serving_spec(), task="multiclass_classification", classes=("a", "b", "c")), "0")
    metrics.answered(2, Predicted([0.0, 2.0], ["a", "c"], [[0.6, 0.3, 0.1], [0.05, 0.05, 0.9]]))
    assert sample(metrics, "model_prediction_score_bucket", le="0.6") == 1
    assert sample(metrics, "model_prediction_score_bucket", le="0.9") == 2
    assert sample(metrics, "model_prediction_score_sum") == pytest.approx(1.5)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_rows_counted_at_once_are_rows_counted_one_by_one(values: list[float]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    buckets = (0.25, 0.5, 1.0)
    BatchHistogram("x", "x", buckets=buckets, registry=ours).observe_all(values)
    single = Histogram("x", "x", buckets=buckets, registry=theirs)
    for value in values:
        single.observe(value)
    for bound in ("0.25", "0.5", "1.0", "+Inf"):
        found, wanted = (one.get_sample_value("x_bucket", {"le": bound}) for one in (ours, theirs))
        assert found == wanted
    assert ours.get_sample_value("x_sum") == pytest.approx(theirs.get_sample_value("x_sum"))


def test_503_is_an_error_and_404_is_none() -> None:
    metrics = ServerMetrics(serving_spec(), "0")
    for status in (404, 404, 503):
        metrics.rejected(status)
    assert sample(metrics, "model_errors_total") == 1
    assert sample(metrics, "model_rejected_requests_total", code="404") == 2
    assert sample(metrics, "model_rejected_requests_total", code="503") == 1


def test_info_names_engine_and_digest() -> None:
    assert sample(ServerMetrics(serving_spec(), "abc"), "model_info", engine="onnx", digest="abc") == 1
