"""Ways in which the flights of flights_lab.py, or what is predicted of them, come to differ from what the version has learnt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from tests.integration.flights_lab import LIVE, Change, Rescore


def shifted(column: str, by: float) -> Change:
    return lambda rows: rows.assign(**{column: rows[column] + by})


def in_hours(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(scheduled_minutes=rows["scheduled_minutes"] / 60)


def burst_of_nulls(rows: pd.DataFrame) -> pd.DataFrame:
    second_day = (rows["scheduled_departure"] - pd.Timestamp(LIVE)) // timedelta(days=1) % 3 == 1
    return rows.assign(wind_speed=rows["wind_speed"].where(~second_day))


def other_rows(column: str) -> Change:
    return lambda rows: rows.assign(**{column: np.random.default_rng(2).permutation(rows[column].to_numpy())})


def logits(by: float, where: Callable[[pd.DataFrame], Any] = lambda rows: True) -> Rescore:
    def rescore(rows: pd.DataFrame, scores: np.ndarray) -> np.ndarray:
        odds = scores / (1 - scores) * np.where(where(rows), np.exp(by), 1.0)
        return odds / (1 + odds)

    return rescore


def shuffled(rows: pd.DataFrame, scores: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).permutation(scores)


def ranked_by(column: str) -> Rescore:
    def rescore(rows: pd.DataFrame, scores: np.ndarray) -> np.ndarray:
        order = np.argsort(np.argsort(rows[column].fillna(0).to_numpy(), kind="stable"), kind="stable")
        return np.sort(scores)[order]

    return rescore


def unsure(rows: pd.DataFrame, scores: np.ndarray) -> np.ndarray:
    return 0.25 + 0.01 * (scores - 0.25)


def sweeping(rows: pd.DataFrame) -> pd.DataFrame:
    """Each day somebody asks about one flight eighty times, with another temperature each time."""
    parts = []
    for day, some in rows.groupby(rows["scheduled_departure"].dt.date):
        one = some[some["plane_age"].notna()].iloc[[0] * 80].reset_index(drop=True)
        keys = [f"probe-{day}-{number}" for number in range(80)]
        parts.append(one.assign(temp=np.linspace(40, 100, 80), flight_id=keys, client="mallory"))
    return pd.concat(parts, ignore_index=True)


def turned_round(rows: pd.DataFrame) -> pd.DataFrame:
    """The old planes' ages for the young ones: the column looks as before, what it goes with does not."""
    order = rows["plane_age"].rank(method="first").fillna(0).astype(int).to_numpy()
    values = np.sort(rows["plane_age"].dropna().to_numpy())[::-1]
    return rows.assign(plane_age=np.where(order > 0, values[np.maximum(order, 1) - 1], np.nan))
