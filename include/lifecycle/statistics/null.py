"""What a distance does when nothing is wrong, from windows drawn in blocks from data that the model was not fitted on. Pure.

The profile turns a false-alarm budget into thresholds once per version; drift checks read them.
Derivation: docs/monitoring-judging.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

QUARTER = timedelta(days=365.25 / 4)
LARGEST_LEVEL = 0.5
TAIL = 0.25
FEWEST_EXCESSES = FEWEST_WINDOWS = 4.0
FEWEST_ROWS = 30
"""A drawn window is lengthened until it holds so many rows: live windows with fewer are never tested."""


@dataclass(frozen=True)
class DrawnWindows:
    """Row numbers of each drawn window, the block at which it starts, and how many windows of that length fit side by side."""

    rows: list[Rows]
    starts: list[int]
    disjoint: float
    blocks_per_window: int


def false_alarm_level(false_alarms_per_quarter: float, window: timedelta, tests: int) -> float:
    """Level of one test: budget / (tests x windows per quarter), a quarter being 365.25 / 4 days; never above 0.5.

    Bonferroni: the expected number of false alarms is the sum of all tests' levels, whatever the dependence between columns.
    """
    if tests < 1 or window <= timedelta(0):
        raise ValueError(f"needs at least one test and a positive window; got {tests} tests, window {window}")
    return min(false_alarms_per_quarter / (tests * (QUARTER / window)), LARGEST_LEVEL)


def block_length(window: timedelta) -> timedelta:
    """Days for windows of a day and more, hours for shorter ones, the window itself below an hour."""
    if window >= timedelta(days=1):
        return timedelta(days=1)
    return min(window, timedelta(hours=1))


def draw_windows(times: Floats, window: timedelta, *, rows: int, draws: int, seed: int) -> DrawnWindows:
    """Draw `draws` windows of length `window` (circular moving blocks, Politis and Romano 1992).

    `times`: event times in seconds, any order, at least one. Starts are uniform over the calendar of blocks; a window keeps at
    most `rows` of its rows, drawn without replacement. In a sparse sample windows hold fewer rows, whose distances are larger:
    the threshold then errs to the safe side.
    """
    if times.size == 0:
        raise ValueError("no rows to draw windows from")
    generator = np.random.default_rng(seed)
    length = block_length(window).total_seconds()
    block = np.floor(times / length).astype(np.int64)
    block -= block.min()
    calendar, per_window = int(block.max()) + 1, max(1, round(window.total_seconds() / length))
    order = np.argsort(block, kind="stable")
    edges = np.searchsorted(block[order], np.arange(calendar + 1))
    starts = [int(start) for start in generator.integers(0, calendar, draws)]
    drawn = [_one_window(order, edges, start, per_window, rows, generator) for start in starts]
    return DrawnWindows(drawn, starts, calendar / per_window, per_window)


def _one_window(order: Rows, edges: Rows, start: int, blocks: int, rows: int, generator: np.random.Generator) -> Rows:
    calendar = edges.size - 1
    enough = min(FEWEST_ROWS, rows, order.size)
    parts: list[Rows] = []
    held = 0
    for step in range(calendar):
        if step >= blocks and held >= enough:
            break
        at = (start + step) % calendar
        parts.append(order[edges[at] : edges[at + 1]])
        held += parts[-1].size
    found = np.concatenate(parts)
    return found if found.size <= rows else generator.choice(found, rows, replace=False, shuffle=False)


def independent_windows(distances: Floats, drawn: DrawnWindows) -> float:
    """How many independent windows k the draws are worth: disjoint ones x (1 - r) / (1 + r), with r the correlation of
    neighbouring windows' mean distances (Bartlett 1935; bias in short series put right by Kendall 1954), within [0, 0.95].

    At least 4: with fewer, the bound of `null_threshold` would be no bound at all; strongly correlated days overspend a little.
    """
    by_start: dict[int, list[float]] = {}
    for start, distance in zip(drawn.starts, distances, strict=True):
        by_start.setdefault(start, []).append(float(distance))
    means = {start: mean for start, values in by_start.items() if np.isfinite(mean := float(np.mean(values)))}
    pairs = [
        (mean, means[start + drawn.blocks_per_window])
        for start, mean in means.items()
        if start + drawn.blocks_per_window in means
    ]
    correlation = _correlation(pairs)
    return max(FEWEST_WINDOWS, drawn.disjoint * (1 - correlation) / (1 + correlation))


def _correlation(pairs: Sequence[tuple[float, float]]) -> float:
    if len(pairs) < 5:
        return 0.0
    left, right = np.array(pairs).T
    if left.std() == 0 or right.std() == 0:
        return 0.0
    found = float(np.corrcoef(left, right)[0, 1])
    return float(np.clip(found + (1 + 4 * found) / len(pairs), 0.0, 0.95))


def null_threshold(distances: Floats, level: float, independent: float) -> float:
    """Distance that a window without drift exceeds with probability `level`, which mostly lies beyond what the draws can show.

    The largest, hence most careful, of the empirical quantile, the extrapolated tail (`_tail`) and the prediction bound of one
    new window from k independent ones, mean + t(k - 1; 1 - level) s sqrt(1 + 1 / k) (Hahn and Meeker 1991).
    `distances`: one per drawn window, at least two, finite. `independent`: k, see `independent_windows`.
    """
    from scipy.special import stdtrit

    empirical = float(np.quantile(distances, 1 - level, method="higher"))
    freedom = max(independent - 1, 1.0)
    bound = float(stdtrit(freedom, 1 - level)) * float(distances.std(ddof=1)) * float(np.sqrt(1 + 1 / independent))
    return max(empirical, _tail(distances, level, independent), float(distances.mean()) + bound)


def _tail(distances: Floats, level: float, independent: float) -> float:
    """Exponential tail above the upper quartile u (peaks over threshold, Pickands 1975; distances have lighter tails), predictive
    for m = max(k / 4, 4) excesses of mean b: u + m b ((0.25 / level)^(1 / m) - 1) (Lomax 1954)."""
    start = float(np.quantile(distances, 1 - TAIL))
    over = distances[distances > start] - start
    if not over.size or level >= TAIL:
        return start
    excesses = max(independent * TAIL, FEWEST_EXCESSES)
    growth: float = (TAIL / level) ** (1 / excesses)
    return start + excesses * float(over.mean()) * (growth - 1)
