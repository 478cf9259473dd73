"""The report of an A/B or A/A test: one page among the model's reports, written anew at each measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from include.lifecycle.evaluation.plots import line_chart
from include.lifecycle.rollout.evidence import ExperimentEvidence, Measurement
from include.lifecycle.rollout.judging.experiment import check_experiment, check_sample_ratio
from include.lifecycle.rollout.states import Plan
from include.lifecycle.rollout.telling.report_page import Section, number, report_page
from include.lifecycle.storage import Storage, segment, write_whole
from include.lifecycle.units import format_duration

_HOW = (
    "Better is above 0. The bounds hold at every look at once: whoever stops when they leave 0 behind errs with at most the "
    "stated probability over the whole test. One sample is one sticky key, by the mean of its rows."
)


def page_name(run_id: str) -> str:
    """File name of a run's experiment page among the model's reports."""
    return f"experiment-{segment(run_id)}.html"


def write_page(storage: Storage, row: Mapping[str, Any], evidence: ExperimentEvidence, history: Sequence[Sequence[Any]]) -> Path:
    """Write the page of the rollout in `row` and return where it lies."""
    path = storage.reports(row["model"]) / page_name(str(row["run_id"] or row["id"]))
    write_whole(path, experiment_page(Plan.model_validate(row["plan"]), evidence, history, row["reason"]))
    return path


def experiment_page(plan: Plan, evidence: ExperimentEvidence, history: Sequence[Sequence[Any]], stands: str) -> str:
    """The page; `history` holds (measured at, samples, difference, lower, upper), `stands` is how the rollout stands."""
    seen = Measurement(experiment=evidence)
    verdicts = [check_experiment(plan, seen), check_sample_ratio(plan, seen)]
    kind = "A/A test" if plan.strategy == "aa_test" else "A/B test"
    against = "itself" if plan.strategy == "aa_test" else f"version {plan.champion}"
    title = f"{kind} of {plan.model}: version {plan.version} against {against}"
    return report_page(title, stands, _facts(plan, evidence), verdicts, _charts(evidence, history), _sections(evidence))


def _facts(plan: Plan, evidence: ExperimentEvidence) -> list[str]:
    told, rules = evidence.detail, plan.ab_test
    facts = [f"Began {told['started']}, measured {told['measured_at']}, outcomes as known at {told['as_of']}"]
    if rules is not None:
        facts += [
            f"Agreed before: {rules.split:.0%} of the keys of {rules.sticky_header} to the challenger, at least "
            f"{rules.minimum_samples:,} samples per arm and {format_duration(rules.at_least)}, at most "
            f"{format_duration(rules.at_most)}",
            f"Agreed before: {told['metric']} decides, an improvement of {rules.minimum_effect:g} is wanted, a wrong winner has "
            f"probability {rules.alpha:g}, the winner is {rules.winner}",
        ]
    facts.append(
        f"{told['rows']:,} rows; {told['rows_without_key']:,} without the sticky header and {told['rows_without_label']:,} "
        f"without a mature label are not counted; {told['crossed']:,} keys met both versions and count for the first"
    )
    return facts + [str(note) for note in told["notes"]]


def _charts(evidence: ExperimentEvidence, history: Sequence[Sequence[Any]]) -> list[str]:
    points = [point for point in history if None not in point[2:5]]
    if not points:
        return []
    samples = np.array([point[1] for point in points], dtype=np.float64)
    names = ("estimate", "lower bound", "upper bound")
    lines = [(name, samples, np.array([point[at] for point in points])) for at, name in enumerate(names, start=2)]
    zero = ("no difference", samples, np.zeros(len(samples)))
    return [line_chart(f"{evidence.detail['metric']} as samples came", "samples of both arms", "difference", [*lines, zero])]


def _sections(evidence: ExperimentEvidence) -> list[Section]:
    head = ("Metric", "Role", "Better is", "Challenger", "Samples", "Champion", "Samples", "Difference", "Lower", "Upper")
    rows = [
        (
            one["name"],
            "decides" if one["decides"] else "guards",
            "higher" if one["higher_is_better"] else "lower",
            number(one["challenger"]["mean"]),
            number(one["challenger"]["samples"], 0),
            number(one["champion"]["mean"]),
            number(one["champion"]["samples"], 0),
            number(one["difference"]),
            number(one["lower"]),
            number(one["upper"]),
        )
        for one in evidence.detail["metrics"]
    ]
    ratio = evidence.detail["sample_ratio"]
    split = [
        ("challenger", number(ratio["challenger"], 0), f"{100 * ratio['planned']:.1f} %"),
        ("champion", number(ratio["champion"], 0), f"{100 * (1 - ratio['planned']):.1f} %"),
    ]
    return [Section("Metrics", head, rows, _HOW), Section("Keys by arm", ("Arm", "Keys", "Planned"), split)]
