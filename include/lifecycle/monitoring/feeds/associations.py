"""Which columns go together, and whether they still do: bias-corrected Cramer's V between coarse codes. Pure.

A join by a wrong or shifted key leaves a column's own distribution as it was and takes away what it had to do with the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.lifecycle.monitoring.reference_parts import Association, Coding

Codes = NDArray[np.int64]
Lost = list[tuple[Association, float]]

CODES = 8
WEAKEST = 0.2
"""Cramer's V below which two columns have too little to do with each other for its loss to be seen."""
PARTNERS = 3
LARGEST_SHIFT = 0.25
"""Total variation of a column's codes above which its own distribution has moved: no shifted join, whatever its associations."""


def coding_of(values: NDArray[Any]) -> Coding | None:
    """How to cut a column into at most CODES codes: numbers (float array) at quantiles, texts by their commonest values.

    None for a column with fewer than two codes: it goes with nothing.
    """
    if values.dtype.kind == "f":
        finite = values[np.isfinite(values)]
        edges = np.unique(np.quantile(finite, np.linspace(0, 1, CODES + 1)[1:-1])).tolist() if finite.size else []
        coding = Coding(edges=edges, shares=[])
    else:
        common = Counter(value for value in values if value is not None).most_common(CODES - 1)
        coding = Coding(categories=[name for name, _ in common], shares=[])
    codes = encode(coding, values)
    held = codes[codes >= 0]
    shares = np.bincount(held, minlength=_size(coding)) / max(held.size, 1)
    return coding.model_copy(update={"shares": shares.tolist()}) if (shares > 0).sum() > 1 else None


def encode(coding: Coding, values: NDArray[Any]) -> Codes:
    """Codes (n,) of a column, -1 where it is null."""
    if values.dtype.kind == "f":
        codes = np.searchsorted(np.array(coding.edges), values, side="right").astype(np.int64)
        return np.where(np.isfinite(values), codes, -1)
    import pandas

    numbers, found = pandas.factorize(values, use_na_sentinel=True)
    places = {name: place for place, name in enumerate(coding.categories)}
    codes_of = np.array([*(places.get(str(name), len(places)) for name in found), -1], dtype=np.int64)
    return np.asarray(codes_of[numbers], dtype=np.int64)


def _size(coding: Coding) -> int:
    return (len(coding.edges) if coding.edges else len(coding.categories)) + 1


def association(first: Codes, second: Codes) -> float:
    """Cramer's V between codes (n,) in [0, 1], corrected for its bias (Bergsma 2013, J. Korean Stat. Soc. 42:323-328).

    Rows with a null in either are left out; NaN when fewer than two codes of either are left.
    """
    both = (first >= 0) & (second >= 0)
    a, b = first[both], second[both]
    if a.size < 2:
        return float("nan")
    table = np.bincount(a * (int(b.max()) + 1) + b, minlength=(int(a.max()) + 1) * (int(b.max()) + 1))
    table = table.reshape(int(a.max()) + 1, int(b.max()) + 1).astype(np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    rows, columns = int(table.shape[0]), int(table.shape[1])
    n = float(table.sum())
    if min(rows, columns) < 2:
        return float("nan")
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = float(((table - expected) ** 2 / expected).sum()) / n
    corrected = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    fewest = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(corrected / fewest)) if fewest > 0 else float("nan")


def strongest(codes: Mapping[str, Codes]) -> list[Association]:
    """For each column its strongest PARTNERS above WEAKEST, each pair once; `lowest` is still the strength."""
    found = {
        pair: value for pair in combinations(sorted(codes), 2) if (value := association(codes[pair[0]], codes[pair[1]])) > WEAKEST
    }
    kept: set[tuple[str, str]] = set()
    for name in codes:
        mine = sorted((pair for pair in found if name in pair), key=lambda pair: -found[pair])
        kept |= set(mine[:PARTNERS])
    return [Association(first=a, second=b, strength=found[a, b], lowest=found[a, b]) for a, b in sorted(kept)]


def moved(coding: Coding, codes: Codes) -> float:
    """Total variation between a column's codes (n,) and training's, in [0, 1]; 1 when all are null."""
    held = codes[codes >= 0]
    if not held.size:
        return 1.0
    shares = np.bincount(held, minlength=len(coding.shares)) / held.size
    return float(np.abs(shares - np.array(coding.shares)).sum() / 2)


def unhinged(
    codings: Mapping[str, Coding], known: Sequence[Association], codes: Mapping[str, Codes], lost: float
) -> dict[str, Lost]:
    """Columns that look as in training and lost all that they went with: each pair with the association that is left.

    A pair is lost when at most 1 - `lost` of its strength is left and hold-out windows never showed so little. A pair whose other
    column moved or is missing tells nothing. Of two columns the one that lost more pairs is named, both when they lost as many.
    """
    still = {name for name, coded in codes.items() if moved(codings[name], coded) <= LARGEST_SHIFT}
    told: dict[str, list[tuple[Association, float, bool]]] = {}
    for pair in known:
        if pair.first not in still or pair.second not in still:
            continue
        left = association(codes[pair.first], codes[pair.second])
        broken = left < (1 - lost) * pair.strength and left < pair.lowest
        for name in (pair.first, pair.second):
            told.setdefault(name, []).append((pair, left, broken))
    lost_all = {name: [(pair, left) for pair, left, _ in seen] for name, seen in told.items() if all(one[2] for one in seen)}
    return _not_explained(lost_all)


def _not_explained(lost: Mapping[str, Lost]) -> dict[str, Lost]:
    """Without columns that only lost pairs with one that lost more: the join of the other explains them."""
    named: dict[str, Lost] = {}
    for name, pairs in sorted(lost.items(), key=lambda item: -len(item[1])):
        others = {pair.second if pair.first == name else pair.first for pair, _ in pairs}
        if not all(len(named.get(other, ())) > len(pairs) for other in others):
            named[name] = pairs
    return named
