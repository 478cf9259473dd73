"""Which versions can be asked with the same request, and what is said when they cannot."""

from dataclasses import replace

from include.lifecycle.rollout.before_traffic.request_schema import request_differences
from include.serving.version_folder import InputColumn, ServingSpec

CHAMPION = ServingSpec(
    model="churn",
    version=7,
    task="regression",
    engine="onnx",
    key="customer",
    event_time="at",
    target="left",
    classes=(),
    inputs=(InputColumn("age", "numeric"), InputColumn("plan", "categorical")),
)


def changed(*inputs, **more):
    return replace(CHAMPION, version=8, inputs=inputs or CHAMPION.inputs, **more)


def test_the_same_inputs_in_any_order_are_fine():
    assert request_differences(CHAMPION, changed(*reversed(CHAMPION.inputs))) == []


def test_columns_that_came_and_went_are_named():
    found = request_differences(CHAMPION, changed(InputColumn("age", "numeric"), InputColumn("income", "numeric")))
    assert found == ["income is not sent to the champion", "plan is unknown to it"]


def test_another_kind_or_a_forbidden_null_is_named():
    found = request_differences(CHAMPION, changed(InputColumn("age", "numeric", nullable=False), InputColumn("plan", "numeric")))
    assert found == ["age may not be null in it", "plan is numeric in it, categorical in the champion"]


def test_the_key_and_the_event_time_travel_with_the_request():
    assert request_differences(CHAMPION, changed(key="account", event_time="seen_at")) == [
        "customer is unknown to it",
        "at is unknown to it",
    ]
    as_input = (*CHAMPION.inputs, InputColumn("customer", "categorical"))
    assert request_differences(replace(CHAMPION, inputs=as_input), changed()) == []
