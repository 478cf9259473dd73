"""The split is by time, with a gap; cleaning is plain. Edge cases name themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.clock import FixedClock
from include.lifecycle.data.preparation import clean, holdout_cut, prepare_data, write_sides
from include.lifecycle.errors import DataInvalidError
from include.lifecycle.results import FetchedData, PreparedData, TrainingOrder
from include.lifecycle.runtime import RunContext, build_runtime
from include.settings import load_settings
from tests.unit.lifecycle.training.spec_for_tests import make_spec

START = datetime(2013, 2, 1, tzinfo=UTC)
SPEC = make_spec()


def trips(rows: int = 400, hours: float = 6, late: list[object] | None = None) -> pd.DataFrame:
    numbers = np.arange(rows)
    return pd.DataFrame(
        {
            "trip_id": [f"T{n}" for n in numbers],
            "starts_at": [START + timedelta(hours=hours * int(n)) for n in numbers],
            "distance": numbers * 1.0,
            "wind": np.where(numbers % 7 == 0, np.inf, 3.0),
            "carrier": np.where(numbers % 5 == 0, "  ", " C1 "),
            "hour": [str(n % 24) for n in numbers],
            "late": late if late is not None else (numbers % 3 == 0).astype("int8"),
        }
    )


def prepare(tmp_path: Path, frame: pd.DataFrame, **spec: object) -> PreparedData:
    rt = build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}), FixedClock(START))
    path = tmp_path / "data.parquet"
    frame.to_parquet(path)
    fetched = FetchedData(path=path, rows=len(frame), rows_in_window=len(frame), columns=list(frame), seconds=0)
    order = TrainingOrder(
        model="trips", request_ids=[], source="manual", reason="", as_of=START, window_start=START, window_end=START
    )
    return prepare_data(make_spec(**spec), rt, RunContext("trips", "r1", "prepare_data"), order, fetched)


def test_any_split_tells_what_a_model_that_learnt_nothing_would_say(tmp_path: Path):
    """A model from elsewhere is cut at its own time; its trivial baseline is its training rows' mean all the same."""
    rt = build_runtime(load_settings({"MODELOPS_LOCAL": str(tmp_path)}), FixedClock(START))
    spec = make_spec(objective={"task": "regression", "metric": "rmse", "floor": "none"})
    frame = clean(spec, trips(100, late=[float(n) for n in range(100)]))
    run = RunContext("trips", "r1", "prepare_data")
    prepared = write_sides(spec, rt, run, frame, lambda rows: (rows.head(60), rows.tail(40)), quarantined_rows=7)
    assert (prepared.train_rows, prepared.holdout_rows, prepared.quarantined_rows) == (60, 40, 7)
    assert prepared.label_prior == [pytest.approx(29.5)]
    assert prepared.positive_share is None


def test_the_holdout_is_newest_starts_at_midnight_and_keeps_the_gap(tmp_path: Path):
    prepared = prepare(tmp_path, trips().sample(frac=1, random_state=1))
    train, holdout = pd.read_parquet(prepared.train), pd.read_parquet(prepared.holdout)
    first = holdout["starts_at"].min()
    assert first == first.normalize()
    assert train["starts_at"].max() < first - timedelta(hours=24)
    assert abs(len(holdout) / 400 - 0.15) < 0.01
    assert prepared.fit_until == train["starts_at"].max()
    assert prepared.holdout_until == START + timedelta(hours=6 * 399)
    assert prepared.positive_share == pytest.approx(train["late"].mean())
    assert (prepared.train_rows, prepared.holdout_rows) == (len(train), len(holdout))


def test_a_rerun_gives_equal_files(tmp_path: Path):
    prepared = prepare(tmp_path, trips())
    before = prepared.train.read_bytes(), prepared.holdout.read_bytes()
    again = prepare(tmp_path, trips().sample(frac=1, random_state=2))
    assert (again.train.read_bytes(), again.holdout.read_bytes()) == before
    assert not list(prepared.train.parent.parent.glob("*.tmp"))


def test_cleaning():
    frame = trips(10, late=[None, *[0, 1] * 4, 1])
    cleaned = clean(SPEC, frame)
    assert len(cleaned) == 9
    assert cleaned["late"].dtype == "int8"
    assert cleaned["wind"].isna().sum() == 1
    assert set(cleaned["carrier"].dropna()) == {"C1"}
    assert cleaned["carrier"].isna().sum() == 1


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (trips(50, late=[None] * 50), "no row of the window has a target"),
        (trips(50, hours=0.1), "train side of the split is empty"),
        (trips(400, late=[0] * 200 + [0, 1] * 100), None),
        (trips(400, late=[0, 1] * 160 + [1] * 80), "hold-out side holds one class only"),
        (trips(400, late=[0] * 340 + [0, 1] * 30), "train side holds one class only"),
    ],
)
def test_sides_that_cannot_be_used(tmp_path: Path, frame: pd.DataFrame, message: str | None):
    if message is None:
        prepare(tmp_path, frame)
        return
    with pytest.raises(DataInvalidError, match=message):
        prepare(tmp_path, frame)
    assert not (tmp_path / "data" / "artifacts" / "trips" / "r1" / "prepare_data").exists()


@given(st.lists(st.integers(0, 60 * 24 * 90), min_size=2, max_size=300), st.floats(0.05, 0.5))
def test_the_cut_leaves_rows_on_both_sides(minutes: list[int], share: float):
    times = np.sort(np.datetime64("2013-02-01", "us") + np.array(minutes) * np.timedelta64(1, "m"))
    cut = holdout_cut(times, share)
    assert np.any(times >= cut)
    days = np.unique(times.astype("datetime64[D]"))
    if len(days) > 1:
        assert np.any(times < cut)
        best = min(abs((times >= day).mean() - share) for day in days[1:])
        assert abs((times >= cut).mean() - share) == pytest.approx(best)
