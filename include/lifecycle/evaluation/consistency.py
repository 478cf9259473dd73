"""Gate on prediction consistency, of the artefact that would serve: twice, permuted, row by row, slightly perturbed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.artefact import Served
from include.lifecycle.evaluation.judging import bounds, mean_interval, outcome_below, subset, too_few
from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.registry.onnx_export import spread_rows
from include.lifecycle.registry.scoring import score
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import Floats, wilson
from include.lifecycle.verdicts import Outcome, Verdict, worst

if TYPE_CHECKING:
    import pandas as pd

CONSISTENCY = "consistency"
SINGLE_ROWS = 50
FEWEST_ROWS = 30
_SMALLEST = 1e-12


def consistency_gates(spec: ModelSpec, served: Served, sample: Sample, holdout: pd.DataFrame) -> list[Verdict]:
    """Four verdicts on at most `consistency.rows` hold-out rows, spread over time; fewer than thirty rows are inconclusive."""
    rules = spec.evaluation.consistency
    chosen = spread_rows(len(holdout), rules.rows)
    rows = holdout.iloc[chosen]
    evidence = {"act": rules.act, "rows": len(rows), "tolerance": rules.tolerance, **served.evidence()}
    if len(rows) < FEWEST_ROWS:
        why = f"{len(rows)} rows; an answer needs {FEWEST_ROWS}"
        names = ("repeated", "permuted", "single", "perturbed")
        return [too_few(f"{CONSISTENCY}:{name}", why, evidence) for name in names]
    first = score(served.engine, served.serving, rows)
    return [
        *_exact(spec, served, rows, first, evidence, _scale(spec, sample)),
        _perturbed(spec, served, rows, first, subset(sample, chosen, FEWEST_ROWS), evidence),
    ]


def _scale(spec: ModelSpec, sample: Sample) -> float:
    """What one unit of a tolerance is: a probability, or one standard deviation of a regression's target."""
    return max(float(sample.y.std()), _SMALLEST) if spec.objective.task == "regression" else 1.0


def _exact(
    spec: ModelSpec, served: Served, rows: pd.DataFrame, first: Floats, evidence: dict[str, Any], scale: float
) -> list[Verdict]:
    order = np.random.default_rng(spec.training.seed).permutation(len(rows))
    again = score(served.engine, served.serving, rows)
    permuted = np.empty_like(first)
    permuted[order] = score(served.engine, served.serving, rows.iloc[order])
    few = spread_rows(len(rows), SINGLE_ROWS)
    alone = np.concatenate([score(served.engine, served.serving, rows.iloc[[place]]) for place in few])
    tolerance = spec.evaluation.consistency.tolerance
    return [
        _equal("repeated", "the same batch twice", (again - first) / scale, 0.0, evidence),
        _equal("permuted", "the same rows in another order", (permuted - first) / scale, tolerance, evidence),
        _equal("single", "rows one by one", (alone - first[few]) / scale, tolerance, evidence),
    ]


def _equal(name: str, what: str, differences: Floats, tolerance: float, evidence: dict[str, Any]) -> Verdict:
    largest = float(np.max(np.abs(differences), initial=0.0))
    fine = largest <= tolerance  # NaN is not
    told = f"{what}: predictions differ by up to {largest:.3g}; allowed is {tolerance:g}"
    outcome = Outcome.PASS if fine else Outcome.FAIL
    return Verdict(check=f"{CONSISTENCY}:{name}", outcome=outcome, reason=told, evidence=evidence | {"difference": largest})


def _perturbed(
    spec: ModelSpec, served: Served, rows: pd.DataFrame, first: Floats, sample: Sample, evidence: dict[str, Any]
) -> Verdict:
    rules, check = spec.evaluation.consistency, f"{CONSISTENCY}:perturbed"
    second = score(served.engine, served.serving, perturbed(spec, rows))
    regression = spec.objective.task == "regression"
    shift = np.abs(second - first) / _scale(spec, sample)
    moved = mean_interval(sample, shift if shift.ndim == 1 else shift.max(axis=1))
    outcomes = [outcome_below(moved, rules.max_shift)]
    told = f"mean change {bounds(moved)}, allowed {rules.max_shift:g}"
    evidence = evidence | {"noise": rules.noise, "max_shift": rules.max_shift, "shift": moved.evidence(), **sample.evidence()}
    if not regression:
        changed = wilson(int((_decided(spec, first) != _decided(spec, second)).sum()), len(rows), sample.confidence)
        outcomes.append(outcome_below(changed, rules.max_changed))
        told += f"; decisions changed {bounds(changed)}, allowed {rules.max_changed:g}"
        evidence |= {"max_changed": rules.max_changed, "changed": changed.evidence()}
    reason = f"numbers moved by {rules.noise:g} standard deviations: {told}"
    return Verdict(check=check, outcome=worst(_verdicts(outcomes)), reason=reason, evidence=evidence)


def _verdicts(outcomes: list[Outcome]) -> list[Verdict]:
    return [Verdict(check="part", outcome=outcome, reason="") for outcome in outcomes]


def perturbed(spec: ModelSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with Gaussian noise of `consistency.noise` standard deviations on each numeric input; nulls stay null."""
    random = np.random.default_rng(spec.training.seed)
    columns = {}
    for name in spec.features.read_numeric:
        values = rows[name].to_numpy(dtype=np.float64, na_value=np.nan)
        spread = float(np.nanstd(values)) if np.isfinite(values).any() else 0.0
        columns[name] = values + random.normal(0.0, 1.0, len(values)) * spread * spec.evaluation.consistency.noise
    return rows.assign(**columns)


def _decided(spec: ModelSpec, p: Floats) -> NDArray[np.intp]:
    if spec.objective.task == "multiclass_classification":
        return np.asarray(p.argmax(axis=1), dtype=np.intp)
    return np.asarray(p >= spec.objective.threshold, dtype=np.intp)
