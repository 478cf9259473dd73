"""Rules on a shadow, an A/B test and metrics: what they compare, their queries and a stage that waits must be there."""

from __future__ import annotations

from include.lifecycle.rules.queries import query_problems
from include.lifecycle.rules.view import Found, Rule, View


def _shadow_of_a_regression_has_a_tolerance(view: View) -> Found:
    chosen = view.get("rollout.strategy") == "shadow" and view.get("objective.task") == "regression"
    if chosen and view.get("rollout.shadow.tolerance") == 0:
        yield (
            ("rollout", "shadow", "tolerance"),
            "got 0, so two versions would agree only where they predict the very same number; "
            "say how far apart predictions may be, in the target's unit",
        )


def _metric_exists(view: View) -> Found:
    metric = view.get("rollout.ab_test.metric")
    if metric == "success" and view.get("objective.task") == "regression":
        yield ("rollout", "ab_test", "metric"), "got 'success', but a regression makes no decisions; allowed: loss, business"
    if metric == "business" and view.get("rollout.ab_test.business.query") is None:
        yield ("rollout", "ab_test", "metric"), "got 'business', and rollout.ab_test.business.query, whose values decide, is null"


def _query_is_there(view: View) -> Found:
    query, path = view.get("rollout.ab_test.business.query"), ("rollout", "ab_test", "business", "query")
    if not isinstance(query, str):
        return
    yield from query_problems(view, path, query)


def _required_metrics_have_a_stage(view: View) -> Found:
    strategy, mirror = view.get("rollout.strategy"), view.get("rollout.blue_green.mirror")
    if strategy != "direct" and (strategy, mirror) != ("blue_green", 0):
        return
    metrics = view.get("rollout.metrics")
    for number, one in enumerate(metrics if isinstance(metrics, list) else []):
        if isinstance(one, dict) and one.get("required") is True:
            without = "'direct'" if strategy == "direct" else "'blue_green' with rollout.blue_green.mirror 0"
            told = f"got true, but {without} has no stage that could wait for it; remove it (a broken limit still sends back)"
            yield ("rollout", "metrics", number, "required"), told


RULES: tuple[Rule, ...] = (
    _shadow_of_a_regression_has_a_tolerance,
    _metric_exists,
    _query_is_there,
    _required_metrics_have_a_stage,
)
