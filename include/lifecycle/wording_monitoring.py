"""The section monitoring in words, for `cli explain`: when the model is looked at, what is watched, and what counts as decay."""

from __future__ import annotations

from include.lifecycle.spec import ModelSpec
from include.lifecycle.units import format_duration as length

_GAPS = {
    "binary_classification": "its mean prediction is off the observed rate by more than {0:g}",
    "multiclass_classification": "a class's mean probability is off its observed share by more than {0:g}",
    "regression": "its mean prediction is off the mean outcome by more than {0:g} standard deviations of the outcome",
}


def monitoring_words(spec: ModelSpec) -> str:
    """What is measured and when it fails; names the monitors that wait for a setting."""
    watched, performance = spec.monitoring, spec.monitoring.performance
    on, off = _others(spec)
    return (
        f"Looked at {watched.schedule}, in windows of {_window(spec)}; fewer than {watched.minimum_rows:,} "
        f"predictions or {watched.minimum_labels:,} final labels say nothing. Drift is watched on {len(spec.watched)} of "
        f"{len(spec.features.all)} features, and counts above a distance of {watched.drift.minimum_effect:g} and above the "
        f"column's own noise. The model decays when {_lost(spec)} (a warning comes from {performance.warn:.0%}), or when "
        f"{_GAPS[spec.objective.task].format(performance.calibration_gap)}{_floors(spec)}. Also watched: {', '.join(on)}."
        + (f" Not watched until set: {', '.join(off)}." if off else "")
    )


def _window(spec: ModelSpec) -> str:
    watched = spec.monitoring
    if watched.window_by == "count":
        return f"{watched.window_rows:,} predictions (about {length(watched.window)})"
    if watched.window_by == "labels":
        return f"{watched.window_labels:,} final labels (about {length(watched.window)})"
    return length(watched.window)


def _lost(spec: ModelSpec) -> str:
    share = f"{spec.monitoring.performance.act:.0%}"
    if spec.objective.metric in ("rmse", "mae", "median_absolute_error", "mape"):
        return f"its {spec.objective.metric} grew by {share}"
    return f"it lost {share} of its skill"


def _floors(spec: ModelSpec) -> str:
    floors = spec.monitoring.performance.floors
    return (
        ", or when a floor is missed (" + ", ".join(f"{name} {value:g}" for name, value in floors.items()) + ")" if floors else ""
    )


def _others(spec: ModelSpec) -> tuple[list[str], list[str]]:
    """Monitors beside drift and decay that are on, and those that wait for the key in brackets."""
    watched = spec.monitoring
    on = [
        "faults in the data",
        "values that training never had",
        "attacks",
        "labels and traffic that stay away",
    ]
    off: list[str] = []
    usage = watched.resources
    limits = (usage.cpu, usage.memory, usage.error_rate, usage.latency_p95)
    for name, key, is_on in (
        ("the servers' resources", "monitoring.resources", any(limit is not None for limit in limits)),
        ("slow creep", "monitoring.creep.weeks", watched.creep.weeks > 0),
        ("skew between training and serving", "monitoring.skew.windows", watched.skew.windows > 0),
        ("which features matter", "monitoring.attribution.enabled", watched.attribution.enabled),
        ("all columns together", "monitoring.multivariate.enabled", watched.multivariate.enabled),
        ("bias between groups", "evaluation.fairness.attributes", bool(spec.evaluation.fairness.attributes)),
        ("business numbers", "monitoring.business", bool(watched.business)),
    ):
        (on if is_on else off).append(name if is_on else f"{name} ({key})")
    if spec.objective.task != "regression":
        estimate = "performance estimated before labels come"
        (on if watched.performance.estimate.enabled else off).append(
            estimate if watched.performance.estimate.enabled else f"{estimate} (monitoring.performance.estimate.enabled)"
        )
    return on, off
