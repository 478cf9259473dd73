"""How often a calibration gap is taken for decay when none is: a year of real flights, with and without the hold-out's spread.

Predictions are right over the year (a logistic regression fitted on all of it) but blind to the weather: days differ by nature.
The product's check judges each window, its standings say when `confirm` lets an episode through.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.harness import Bench, Claim
from include.demo.sources import open_flights_table
from include.lifecycle.monitoring.calibration import check_calibration
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.performance_reference import performance_reference
from include.lifecycle.monitoring.signals import standings
from include.lifecycle.monitoring.skill import time_blocks
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Verdict
from include.settings import PROJECT_ROOT

if TYPE_CHECKING:
    import pandas

SIZES = {"holdouts": 12, "holdout_days": 27, "percent": 22}
TINY = {"holdouts": 1, "holdout_days": 27, "percent": 2}
DAY = 86_400.0
SPREADS = (0.0, 1.0, 1.5, 2.0)
WINDOWS = ((1, 3, 5), (3, 2, 4), (7, 2, 4))  # days, and confirm: windows of the last
_COLUMNS = ["time_hour", "carrier", "origin", "hour", "arr_delay"]

Floats = NDArray[np.float64]


def run(bench: Bench) -> list[Claim]:
    """One claim per window length: false episodes a year with the default spread over those without; at most half for a day."""
    times, labels, said = _year(bench.sizes["percent"])
    claims = []
    for days, needed, of in WINDOWS:
        found = {spread: _episodes(times, labels, said, days, needed, of, spread, bench) for spread in SPREADS}
        for spread, (share, episodes) in found.items():
            bench.say(f"windows of {days} days, spread {spread:g}: {share:.0%} fail, {episodes:.1f} episodes a year")
        ours, peer = found[2.0][1], found[0.0][1]
        details = {str(spread): {"share": share, "episodes": episodes} for spread, (share, episodes) in found.items()}
        ratio, bar = (ours / peer if peer else 0.0), 0.5 if days < 7 else 1.0
        claims.append(Claim(f"calibration_false_episodes_{days}d", ours, peer, "a year", ratio, bar, "at_most", details))
    return claims


def _year(percent: int) -> tuple[Floats, Floats, Floats]:
    """Event times (seconds), late or not, and predictions of a sample of the year's flights, in order of time."""
    import pandas
    from sklearn.linear_model import LogisticRegression

    with open_flights_table("flights") as stream:
        table = pandas.read_csv(stream, usecols=_COLUMNS).dropna()
    at = pandas.to_datetime(table["time_hour"], utc=True)
    table = table.assign(at=at, day=at.dt.dayofweek).sort_values("at", kind="stable")
    table = table[np.random.default_rng(1).uniform(size=len(table)) < percent / 100]
    inputs = pandas.get_dummies(table[["carrier", "origin", "hour", "day"]].astype(str)).to_numpy(np.float64)
    labels = (table["arr_delay"] > 15).to_numpy(np.float64)
    said = LogisticRegression(max_iter=300).fit(inputs, labels).predict_proba(inputs)[:, 1]
    return table["at"].dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64) / 1e6, labels, said


def _episodes(
    times: Floats, labels: Floats, said: Floats, days: int, needed: int, of: int, spread: float, bench: Bench
) -> tuple[float, float]:
    """Share of the year's windows that fail, and confirmed episodes, each as the mean over hold-outs through the year."""
    spec = _spec(days, needed, of, spread)
    rows, rates = [], []
    for begin in np.linspace(times[0], times[-1] - bench.sizes["holdout_days"] * DAY, bench.sizes["holdouts"]):
        held = (times >= begin) & (times < begin + bench.sizes["holdout_days"] * DAY)
        reference = performance_reference(spec, _frame(labels[held]), times[held], said[held])
        verdicts = []
        for start in np.arange(np.ceil(times[0] / DAY) * DAY, times[-1] - days * DAY, days * DAY):
            inside = slice(*np.searchsorted(times, [start, start + days * DAY]))
            one = Labelled(labels[inside], said[inside], (times[inside] * 1e6).astype(np.int64), 1.0)
            blocks = time_blocks(times[inside], float(start), days * DAY)
            verdicts.append((_window(float(start), days), check_calibration(spec, reference, one, blocks)))
        rows.append(float(np.mean([verdict.failed for _, verdict in verdicts])))
        rates.append(_confirmed(spec, verdicts))
    return float(np.mean(rows)), float(np.mean(rates))


def _confirmed(spec: ModelSpec, verdicts: Sequence[tuple[Window, Verdict]]) -> float:
    """How often the cause becomes confirmed: by the product's standings, window after window."""
    episodes, on = 0, False
    for place in range(len(verdicts)):
        seen = [(window, [verdict]) for window, verdict in verdicts[max(0, place - 20) : place + 1]]
        standing = next(iter(standings(seen, spec.retraining.confirm)), None)
        confirmed = standing is not None and standing.failing and standing.windows_failed >= spec.retraining.confirm.windows
        episodes += confirmed and not on
        healthy = standing is None or (not standing.failing and standing.windows_failed < spec.retraining.confirm.windows)
        on = confirmed or (on and not healthy)
    return float(episodes)


def _spec(days: int, needed: int, of: int, spread: float) -> ModelSpec:
    defaults = yaml.safe_load((PROJECT_ROOT / "include" / "models" / "_defaults.yaml").read_text())
    model: dict[str, Any] = defaults | {"name": "late", "owner": "benchmarks", "tier": "primary", "columns": {}}
    model["data"] |= {"connection": "none", "query": "none.sql", "key": "id", "event_time": "at", "target": "late"}
    model["labels"] |= {"query": "none.sql"}
    model["features"] |= {"numeric": ["hour"]}
    model["objective"] |= {"task": "binary_classification", "metric": "roc_auc", "floor": 0.5}
    model["monitoring"] |= {"window": f"{days}d"}
    model["monitoring"]["performance"] |= {"calibration_spread": spread}
    model["retraining"]["confirm"] = {"windows": needed, "of": of, "spanning": "1d"}
    return ModelSpec.model_validate(model)


def _frame(labels: Floats) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame({"late": labels})


def _window(start: float, days: int) -> Window:
    begin = datetime.fromtimestamp(start, UTC)
    return Window(begin, begin + timedelta(days=days))
