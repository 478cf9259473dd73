"""Weeks of windows whose warmth follows the hour of the day: what seasons and slow creep are tried on. Seeded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas

from include.lifecycle.monitoring.checks import Subject, _drift, _look_up_season
from include.lifecycle.monitoring.counting.arrays import count_window
from include.lifecycle.monitoring.counting.scheme import STORED_CELLS, scheme_of
from include.lifecycle.monitoring.counting.store import counts_path
from include.lifecycle.monitoring.inputs.creep import check_creep
from include.lifecycle.monitoring.inputs.past import SEASONAL, Past
from include.lifecycle.monitoring.inputs.season import Season
from include.lifecycle.monitoring.predictions import Predictions
from include.lifecycle.monitoring.profile import Profile, build_profile
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.spec import ModelSpec
from include.lifecycle.storage import Storage
from include.lifecycle.verdicts import Verdict
from tests.unit.lifecycle.monitoring.examples import as_labelled, make_spec, make_table

LENGTH = timedelta(hours=4)
ROWS = 100
START = datetime.fromisoformat("2013-01-07T00:00:00+00:00")  # a Monday
TRAINED, HELD_OUT = timedelta(days=60), timedelta(days=28)
LIVE = START + TRAINED + HELD_OUT


def diurnal_spec(**changes) -> ModelSpec:
    return make_spec(
        features={"numeric": ["warmth"], "categorical": []},
        monitoring={"window": "4h", "minimum_rows": 80, "skew": {"windows": 0}} | changes,
    )


def table(start: datetime, span: timedelta, seed: int, *, shift: Callable[[float], float] = lambda days: 0.0) -> pandas.DataFrame:
    """ROWS per window; warmth = 4 degrees by hour of the day, a level by day (AR(1), 0.5), noise 2; plus `shift` by day."""
    random = np.random.default_rng(seed)
    windows = int(span / LENGTH)
    days = int(span / timedelta(days=1)) + 1
    levels = np.zeros(days)
    for day in range(1, days):
        levels[day] = 0.5 * levels[day - 1] + random.normal(0, 0.4)
    seconds = (np.arange(windows)[:, None] + np.sort(random.uniform(size=(windows, ROWS)))) * LENGTH.total_seconds()
    seconds = seconds.ravel()
    hour, day = seconds % 86400 / 3600, (seconds // 86400).astype(int)
    moved = np.array([shift(float(one)) for one in range(days)])[day]
    warmth = 15 - 4 * np.cos(hour / 24 * 2 * np.pi) + levels[day] + moved + random.normal(0, 2, seconds.size)
    at = pandas.to_datetime(start) + pandas.to_timedelta(seconds, unit="s")
    return pandas.DataFrame(
        {"at": at, "warmth": warmth, "wet": random.integers(0, 2, seconds.size), "id": np.arange(seconds.size)}
    )


def diurnal_profile(spec: ModelSpec, seed: int = 1) -> Profile:
    train, holdout = table(START, TRAINED, seed), table(START + TRAINED, HELD_OUT, seed + 1)
    scores = np.random.default_rng(seed).uniform(size=len(holdout))
    return build_profile(spec, train, holdout, scores, seed=3)


@dataclass
class Live:
    """What monitoring does window by window: judge, keep the counts and the distances. Signals are not opened."""

    spec: ModelSpec
    profile: Profile
    folder: Path

    def verdicts(self, frame: pandas.DataFrame) -> Iterator[list[Verdict]]:
        season = Season(Storage(self.folder), self.spec.name, [], {})
        scheme = scheme_of(self.profile, STORED_CELLS)
        stamps = frame["at"].dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
        nothing = as_labelled(*make_table(1))
        for place in range(len(frame) // ROWS):
            rows = slice(place * ROWS, (place + 1) * ROWS)
            window = Window(LIVE + place * LENGTH, LIVE + (place + 1) * LENGTH)
            live = Predictions(
                version=1,
                window=window,
                times=stamps[rows],
                keys=np.full(ROWS, None, dtype=object),
                values=np.full(ROWS, 0.5),
                latencies=np.ones(ROWS),
                features={"warmth": frame["warmth"].to_numpy()[rows]},
            )
            subject = Subject(self.spec, self.profile, live, nothing, window.end, past=Past({1: LIVE}, season=season))
            _look_up_season(subject)
            yield [*_drift(subject), *check_creep(self.spec, self.profile, window, season)]
            season.recorded[window.start] = subject.kept.get(SEASONAL, {})
            count_window(scheme, live, []).save(counts_path(season.storage, self.spec.name, 1, window.start))
            season._read.pop(window.start, None)
