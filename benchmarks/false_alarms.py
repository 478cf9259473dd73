"""How often monitoring cries wolf: models whose data never drifts, on autocorrelated, diurnal streams and on the demo's flights.

Each model is profiled on its hold-out and lives a quarter of windows through the real checks, signals and policy, with labels.
What fires is false by construction, and counted by kind. `monitoring.drift.false_alarms_per_quarter` bounds the drift-like kinds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Bench, Claim
from include.lifecycle.monitoring.inputs.past import Past
from include.lifecycle.monitoring.labels import Labelled
from include.lifecycle.monitoring.measure import measure_window
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile, build_profile
from include.lifecycle.monitoring.signals import standings
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.simulation.book import Book
from include.lifecycle.spec import ModelSpec
from include.lifecycle.statistics.null import QUARTER
from include.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import pandas

SIZES = {"models": 20, "days": 91, "rows_per_day": 200, "worlds": 18}
TINY = {"models": 1, "days": 8, "rows_per_day": 120, "worlds": 1}
CORRELATIONS = {0.0: 1.0, 0.5: 1.0, 0.8: 1.5}
"""Day-to-day correlation -> bar, in budgets. At 0.8 two months of hold-out hold few independent days: a little is overspent."""
BUDGETED = ("covariate", "creep", "prediction_drift", "skew", "attribution_drift", "multivariate_drift", "bias")
"""Kinds that share `monitoring.drift.false_alarms_per_quarter`; `population` and `equipment` are covariates by another name."""
TRAIN_DAYS, HOLDOUT_DAYS = 90, 60
START, DAY = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
BETWEEN_DAYS, HIDDEN = 0.3, 0.2  # deviations of a day's level: of features within a day, and in logits of what no feature tells
_SPEC: dict[str, Any] = {
    "monitoring": {"window": "1d", "minimum_rows": 100, "minimum_labels": 100, "skew": {"windows": 3}},
    "retraining": {"confirm": {"windows": 3, "of": 5, "spanning": "24h"}},
}

Floats = NDArray[np.float64]


@dataclass
class Found:
    """What fired in one model's quarter: failed windows and opened signals by kind, and trainings that were asked for."""

    windows: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    opened: Counter[str] = field(default_factory=Counter)
    trainings: int = 0


def run(bench: Bench) -> list[Claim]:
    """Claims: drift-like false alarms per quarter at three correlations and on the demo's data; security's; false trainings."""
    claims, everything = [], list[Found]()
    for correlation, bar in CORRELATIONS.items():
        lives = [_synthetic(bench.sizes, correlation, seed) for seed in range(bench.sizes["models"])]
        everything += lives
        name = f"false_alarms_correlation_{correlation:g}".replace(".", "_")
        claims.append(_claim(bench, name, lives, DAY, bar))
    worlds = [_flights(seed) for seed in range(bench.sizes["worlds"])]
    claims.append(_claim(bench, "false_alarms_demo", worlds, 3 * DAY, 1.0))
    security = _per_quarter(everything, DAY, lambda one: one.failed["security"])
    told = {"budget": 1.0, "interval": security[1:]}
    claims.append(Claim("false_alarms_security", security[0], None, "per quarter", security[0], 1.0, "at_most", told))
    return claims


def _claim(bench: Bench, name: str, lives: Sequence[Found], window: timedelta, bar: float) -> Claim:
    """`ours`: failed drift-like verdicts per model and quarter; the budget is one."""
    rate, low, high = _per_quarter(lives, window, lambda one: sum(one.failed[kind] for kind in BUDGETED))
    kinds = sorted({kind for one in lives for kind in one.failed})
    by_kind = {kind: round(_per_quarter(lives, window, lambda one, of=kind: one.failed[of])[0], 3) for kind in kinds}
    opened = {kind: round(_per_quarter(lives, window, lambda one, of=kind: one.opened[of])[0], 3) for kind in kinds}
    trainings = _per_quarter(lives, window, lambda one: one.trainings)
    bench.say(
        f"{name}: {rate:.2f} a quarter [{low:.2f}, {high:.2f}]; windows {by_kind}; signals {opened}; trainings {trainings[0]:.2f}"
    )
    details = {"budget": 1.0, "interval": [low, high], "failed_windows_by_kind": by_kind, "signals_by_kind": opened}
    details |= {"trainings": trainings[0], "trainings_interval": trainings[1:], "models": len(lives)}
    return Claim(name, rate, None, "per quarter", rate, bar, "at_most", details)


def _per_quarter(lives: Sequence[Found], window: timedelta, count: Any) -> tuple[float, float, float]:
    """Mean per model and quarter, with its 95 % interval over models (normal; models are independent)."""
    rates = np.array([count(one) * (QUARTER / window) / one.windows for one in lives], dtype=np.float64)
    error = 1.96 * float(rates.std(ddof=1)) / np.sqrt(rates.size) if rates.size > 1 else 0.0
    mean = float(rates.mean())
    return mean, mean - error, mean + error


def live(spec: ModelSpec, profile: Profile, windows: Iterator[tuple[Predictions, Labelled]]) -> Found:
    """A version's life: each window measured when its labels are mature, signals kept, the policy asked."""
    found, book = Found(), Book(spec)
    history: list[tuple[Window, list[Verdict]]] = []
    for seen, labelled in windows:
        now = seen.window.end + spec.labels.mature_after
        past = Past({1: history[0][0].start} if history else {}, frozenset(book.opened))
        row = measure_window(spec, profile, seen, labelled, now=now, notes=[], past=past)
        verdicts = [Verdict.model_validate(plain) for plain in row["verdicts"]]
        history.append((seen.window, verdicts))
        found.windows += 1
        found.failed.update(_kind(verdict.check) for verdict in verdicts if verdict.failed)
        changes = book.refresh(1, standings(history[-14:], spec.retraining.confirm))
        found.opened.update(_kind(cause) for change, cause, _ in changes if change == "opened")
        answer = book.decide(1, now)
        found.trainings += answer is not None and answer.cause is not None
    return found


def _kind(check: str) -> str:
    kind = check.partition(":")[0]
    return "covariate" if kind in ("population", "equipment") else kind


def _synthetic(sizes: Mapping[str, int], correlation: float, seed: int) -> Found:
    from tests.unit.lifecycle.monitoring.examples import make_spec

    spec, days = make_spec(**_SPEC), sizes["days"]
    table, honest = _stream(TRAIN_DAYS + HOLDOUT_DAYS + days, sizes["rows_per_day"], correlation, seed)
    day = ((table["at"] - START) // DAY).to_numpy()
    train, holdout = day < TRAIN_DAYS, (day >= TRAIN_DAYS) & (day < TRAIN_DAYS + HOLDOUT_DAYS)
    profile = build_profile(spec, table[train], table[holdout].reset_index(drop=True), honest[holdout], seed=seed)
    first = TRAIN_DAYS + HOLDOUT_DAYS
    return live(
        spec, profile, (_window(table[day == at], honest[day == at], START + at * DAY, DAY) for at in range(first, first + days))
    )


def _stream(days: int, per_day: int, correlation: float, seed: int) -> tuple[pandas.DataFrame, Floats]:
    """Rows of a world that never changes: busy days and quiet nights, levels that go up and down from day to day, AR(1)."""
    import pandas as pd

    random = np.random.default_rng([seed, round(100 * correlation)])
    level = _levels(days, 4, correlation, random)
    hour = np.mod(random.normal(14, 4, (days, per_day)), 24)
    rush = np.sin(2 * np.pi * hour / 24)
    wind = np.exp(0.5 * random.normal(size=(days, per_day)) + BETWEEN_DAYS * 0.5 * level[0][:, None] + 0.1 * rush + 1.5)
    warmth = 15 + 4 * (random.normal(size=(days, per_day)) + BETWEEN_DAYS * level[1][:, None] - 0.3 * rush)
    odds = np.array([1.0, 0.4, -0.3, -0.7, -1.4]) + BETWEEN_DAYS * level[2][:, None, None] * np.array([1, 0, 0, 0, -1])
    city = (odds + random.gumbel(size=(days, per_day, 5))).argmax(axis=2)
    logit = 0.35 * (wind - 6) - 0.05 * (warmth - 15) - 0.8
    wet = random.uniform(size=logit.shape) < 1 / (1 + np.exp(-logit - HIDDEN * level[3][:, None]))
    seconds = (np.arange(days)[:, None] * 86_400 + hour * 3600).ravel()
    order = np.argsort(seconds, kind="stable")
    names = np.array(["Oslo", "Rome", "Lima", "Cork", "Bern"], dtype=object)
    columns = {"wind": wind, "warmth": warmth, "city": names[city], "wet": wet.astype(np.int8)}
    table = pd.DataFrame({name: values.ravel()[order] for name, values in columns.items()})
    at = pd.Timestamp(START) + pd.to_timedelta(seconds[order], unit="s")
    honest = (1 / (1 + np.exp(-logit))).ravel()[order]
    return table.assign(at=at, id=[f"{seed}-{number}" for number in range(len(table))]), honest


def _levels(days: int, kinds: int, correlation: float, random: np.random.Generator) -> Floats:
    """(kinds, days) of unit variance and this day-to-day correlation."""
    noise: Floats = random.normal(size=(kinds, days)) * np.sqrt(1 - correlation**2)
    noise[:, 0] = random.normal(size=kinds)
    for day in range(1, days):
        noise[:, day] += correlation * noise[:, day - 1]
    return noise


def _window(rows: pandas.DataFrame, scores: Floats, start: datetime, length: timedelta) -> tuple[Predictions, Labelled]:
    times = rows["at"].dt.tz_convert(None).to_numpy("datetime64[us]").astype(np.int64)
    features: dict[str, NDArray[Any]] = {name: rows[name].to_numpy() for name in ("wind", "warmth")}
    features["city"] = rows["city"].to_numpy(object)
    window = Window(start, start + length)
    seen = Predictions(1, window, times, rows["id"].to_numpy(object), scores, np.ones(len(rows)), features)
    return seen, Labelled(rows["wet"].to_numpy(np.float64), scores, times, 1.0)


def _flights(seed: int) -> Found:
    """The demo's flights, their days dealt out at random, so that nothing drifts; twelve windows of three days."""
    from include.lifecycle.loading import load_model
    from tests.integration.flights_lab import LIVE, WINDOW, make_world

    spec = load_model("flight_delay")
    near = spec.monitoring.model_copy(update={"window": WINDOW, "minimum_rows": 300, "minimum_labels": 300})
    world = make_world(spec.model_copy(update={"monitoring": near}), seed)
    return live(world.spec, world.profile, (_flown(world, LIVE + number * WINDOW, WINDOW) for number in range(12)))


def _flown(world: Any, start: datetime, length: timedelta) -> tuple[Predictions, Labelled]:
    from include.lifecycle.registry.scoring import fitted_scores

    at, spec = world.live["scheduled_departure"], world.spec
    rows = world.live[(at >= start) & (at < start + length)]
    scores = fitted_scores(world.pipeline, spec.features, rows)
    times = rows["scheduled_departure"].dt.tz_convert(None).to_numpy("datetime64[us]").astype(np.int64)
    features: dict[str, NDArray[Any]] = {name: rows[name].to_numpy(np.float64) for name in spec.features.numeric}
    for name in spec.features.categorical:
        values = rows[name].astype(object)
        features[name] = values.where(values.notna(), None).to_numpy(object)
    keys = rows["flight_id"].to_numpy(object)
    seen = Predictions(1, Window(start, start + length), times, keys, scores, np.ones(len(rows)), features)
    return seen, Labelled(rows["arrived_late"].to_numpy(np.float64), scores, times, 1.0)
