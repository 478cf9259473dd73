"""Search for slices on which the loss is higher than elsewhere: feature values, quantile bins and pairs of them.

Candidates are found on one half of the blocks and tested on the other, so the interval of a confirmed slice is honest; Holm's
procedure over the tested ones bounds the probability of naming any slice that is none. After Slice Finder (Chung et al. 2019,
ICDE): effect size in standard deviations of the loss, and no pair below a value that is a slice itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.evaluation.sample import Sample
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.intervals import MINIMUM_BLOCKS, Codes, Floats, block_sums, resample_weights
from include.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import pandas as pd

SLICE_SEARCH = "slice_search"
MOST_VALUES = 50  # of one categorical feature; the most frequent ones
Against = Literal["rest", "zero"]


@dataclass(frozen=True)
class Feature:
    """A feature cut into cells: cell number of each row (n,), -1 for rare values, and the cells' names."""

    name: str
    cells: Codes
    names: list[str]


@dataclass(frozen=True)
class Found:
    """A candidate slice: its name, which rows are in it (n,), and its effect on the half where it was found."""

    name: str
    inside: NDArray[np.bool_]
    effect: float


def row_losses(spec: ModelSpec, y: Floats, p: Floats) -> Floats:
    """A bounded loss per row (n,): Brier for probabilities, |error| in standard deviations of the target for regression."""
    if spec.objective.task == "regression":
        return np.asarray(np.abs(p - y) / max(float(y.std()), 1e-12))
    if spec.objective.task == "binary_classification":
        return np.asarray((p - y) ** 2)
    hit = np.eye(p.shape[1])[y.astype(np.intp)]
    return np.asarray(((p - hit) ** 2).sum(axis=1))


def slice_search(spec: ModelSpec, sample: Sample, rows: pd.DataFrame, values: Floats, *, against: Against) -> Verdict:
    """Judge per-row values (n,), where high is bad: fail when a slice is confirmed on the second half.

    `rest`: its mean is above that of all other rows (a loss). `zero`: above 0 (the loss minus the champion's).
    """
    rules = spec.evaluation.slice_search
    check = SLICE_SEARCH if against == "rest" else f"{SLICE_SEARCH}:champion"
    evidence: dict[str, Any] = {"act": rules.act, "level": rules.level, "effect": rules.effect, **sample.evidence()}
    if sample.shortage or sample.blocks < 2 * MINIMUM_BLOCKS:
        why = sample.shortage or f"{sample.blocks} blocks; both halves need {MINIMUM_BLOCKS}"
        return Verdict(check=check, outcome=Outcome.INCONCLUSIVE, reason=f"too few to tell: {why}", evidence=evidence)
    first = _first_half(sample, spec.training.seed)
    found = find(_features(spec, rows), values, first, spec, against)
    tested = confirm(found, values, ~first, sample, spec, against)
    named = [one for one in tested if one["confirmed"]]
    evidence |= {"searched": len(found), "slices": tested}
    if not named:
        reason = f"no slice stands out: {len(found)} suspected on one half of the blocks, none confirmed on the other"
        return Verdict(check=check, outcome=Outcome.PASS, reason=reason, evidence=evidence)
    what = "loss is higher than elsewhere" if against == "rest" else "loss is higher than the champion's"
    told = "; ".join(f"{one['slice']} ({one['rows']} rows, {one['excess']:+.4g})" for one in named[:3])
    return Verdict(check=check, outcome=Outcome.FAIL, reason=f"{what} on {len(named)} slices: {told}", evidence=evidence)


def _first_half(sample: Sample, seed: int) -> NDArray[np.bool_]:
    order = np.random.default_rng(seed).permutation(sample.blocks)
    return np.isin(sample.codes, order[: sample.blocks // 2])


def _features(spec: ModelSpec, rows: pd.DataFrame) -> list[Feature]:
    numeric = [_binned(name, rows[name].to_numpy(dtype=np.float64), spec) for name in spec.features.read_numeric]
    return [*numeric, *(_valued(name, rows[name]) for name in spec.features.read_categorical)]


def _binned(name: str, values: Floats, spec: ModelSpec) -> Feature:
    known = np.isfinite(values)
    if not known.any():
        return Feature(name, np.zeros(len(values), dtype=np.intp), [f"{name} is null"])
    bins = spec.evaluation.slice_search.bins
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, bins + 1)[1:-1]))
    cells = np.where(known, np.searchsorted(edges, np.where(known, values, 0.0), side="left"), len(edges) + 1)
    ends = [f"{edge:g}" for edge in edges]
    names = [f"{name} <= {ends[0]}", *(f"{low} < {name} <= {high}" for low, high in pairwise(ends))]
    return Feature(name, cells.astype(np.intp), [*names, f"{name} > {ends[-1]}", f"{name} is null"])


def _valued(name: str, values: pd.Series) -> Feature:
    import pandas as pd

    text = values.astype(object).where(values.notna(), None)
    frequent = text.dropna().astype(str).value_counts().index[:MOST_VALUES].sort_values()
    codes = pd.Categorical(text.map(lambda value: None if value is None else str(value)), categories=frequent).codes.astype(
        np.intp
    )
    codes[text.isna().to_numpy()] = len(frequent)
    return Feature(name, codes, [*(f"{name} = {value}" for value in frequent), f"{name} is null"])


def find(features: list[Feature], values: Floats, half: NDArray[np.bool_], spec: ModelSpec, against: Against) -> list[Found]:
    """The worst candidates on one half, at most `most`, by effect times root of size; pairs only of values that are none."""
    rules, scale = spec.evaluation.slice_search, max(float(values[half].std()), 1e-12)
    suspected: list[tuple[float, Found]] = []
    spent: set[tuple[str, int]] = set()
    for feature in features:
        for cell, rows, effect in _cells(feature.cells, len(feature.names), values, half, rules.minimum_rows, against):
            if effect / scale >= rules.effect:
                spent.add((feature.name, cell))
                suspected.append((effect * rows**0.5, Found(feature.names[cell], feature.cells == cell, effect / scale)))
    for one, other in combinations(features, 2):
        both = np.where((one.cells >= 0) & (other.cells >= 0), one.cells * len(other.names) + other.cells, -1)
        for cell, rows, effect in _cells(both, len(one.names) * len(other.names), values, half, rules.minimum_rows, against):
            left, right = divmod(cell, len(other.names))
            if effect / scale >= rules.effect and not {(one.name, left), (other.name, right)} & spent:
                name = f"{one.names[left]} and {other.names[right]}"
                suspected.append((effect * rows**0.5, Found(name, both == cell, effect / scale)))
    suspected.sort(key=lambda pair: (-pair[0], pair[1].name))
    return [found for _, found in suspected[: rules.most]]


def _cells(
    cells: Codes, count: int, values: Floats, half: NDArray[np.bool_], minimum: int, against: Against
) -> Iterator[tuple[int, int, float]]:
    """Cell, rows and excess of each cell that is large enough and leaves as many rows outside."""
    chosen = half & (cells >= 0)
    sizes = np.bincount(cells[chosen], minlength=count)
    sums = np.bincount(cells[chosen], weights=values[chosen], minlength=count)
    total, rows = float(values[half].sum()), int(half.sum())
    for cell in np.flatnonzero((sizes >= minimum) & (rows - sizes >= minimum)):
        inside, size = sums[cell], int(sizes[cell])
        elsewhere = (total - inside) / (rows - size) if against == "rest" else 0.0
        yield int(cell), size, float(inside / size - elsewhere)


def confirm(
    found: list[Found], values: Floats, half: NDArray[np.bool_], sample: Sample, spec: ModelSpec, against: Against
) -> list[dict[str, Any]]:
    """Each candidate's excess on the other half with its one-sided p-value, by blocks; Holm (1979) decides which stand."""
    tested = [_test(one, values, half, sample, spec, against) for one in found]
    order = sorted(range(len(tested)), key=lambda place: tested[place]["p_value"])
    level, alive = spec.evaluation.slice_search.level, True
    for rank, place in enumerate(order):
        alive = alive and tested[place]["p_value"] <= level / (len(tested) - rank)
        tested[place]["confirmed"] = alive
    return [tested[place] for place in order]


def _test(
    one: Found, values: Floats, half: NDArray[np.bool_], sample: Sample, spec: ModelSpec, against: Against
) -> dict[str, Any]:
    from scipy.special import stdtr

    present, codes = np.unique(sample.codes[half], return_inverse=True)
    inside, kept = one.inside[half].astype(np.float64), values[half]
    parts = block_sums(np.column_stack([inside, inside * kept, 1 - inside, (1 - inside) * kept]), codes, len(present))
    filled = int((parts[:, 0] > 0).sum())
    rows = int(inside.sum())
    told: dict[str, Any] = {"slice": one.name, "rows": rows, "found_effect": round(one.effect, 4)}
    if rows < spec.evaluation.slice_search.minimum_rows or filled < MINIMUM_BLOCKS:
        return told | {"excess": 0.0, "p_value": 1.0, "too_small": True}
    drawn = resample_weights(len(present), spec.evaluation.resamples, spec.training.seed) @ parts
    excess = _excess(parts.sum(axis=0)[None, :], against)[0]
    if not np.isfinite(excess):  # nothing outside the slice on this half: no difference can be told
        return told | {"excess": 0.0, "p_value": 1.0, "too_small": True}
    error = float(np.nanstd(_excess(drawn, against))) * (filled / (filled - 1)) ** 0.5
    p_value = float(stdtr(filled - 1, -excess / error)) if error > 0 else float(excess <= 0)
    return told | {"excess": round(float(excess), 6), "error": round(error, 6), "p_value": p_value, "too_small": False}


def _excess(sums: Floats, against: Against) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = sums[:, 1] / sums[:, 0]
        return np.asarray(inside - sums[:, 3] / sums[:, 2] if against == "rest" else inside)
