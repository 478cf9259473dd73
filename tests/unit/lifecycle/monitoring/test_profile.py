"""The reference profile: what it holds, that it comes back from disk as it was, and what it refuses."""

from __future__ import annotations

import time

import numpy as np
import pandas
import pytest

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.monitoring.profile import PREDICTION, PROFILE_FILE, SAMPLES_FILE, build_profile, read_profile
from include.lifecycle.monitoring.referencing import SAMPLE_SIZE
from tests.unit.lifecycle.monitoring.examples import make_spec, make_table


def test_it_comes_back_from_disk_as_it_was(profile, tmp_path):
    profile.write(tmp_path / "profile")
    again = read_profile(tmp_path / "profile")
    assert again.model_dump() == profile.model_dump()
    assert again.samples.keys() == profile.samples.keys()
    assert all((again.samples[name] == values).all() for name, values in profile.samples.items())


def test_two_writes_are_the_same_bytes(profile, tmp_path):
    for name in ("a", "b"):
        profile.write(tmp_path / name)
    for file in (PROFILE_FILE, SAMPLES_FILE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("broken", [PROFILE_FILE, SAMPLES_FILE])
def test_a_damaged_profile_is_named(profile, tmp_path, broken):
    profile.write(tmp_path)
    (tmp_path / broken).write_bytes(b"{]")
    with pytest.raises(DataInvalidError, match=r"reference profile .*profile\.json"):
        read_profile(tmp_path)
    (tmp_path / broken).unlink()
    with pytest.raises(DataInvalidError):
        read_profile(tmp_path)


def test_it_describes_training_and_holdout(profile):
    assert (profile.train_rows, profile.holdout_rows) == (15_000, 6_600)
    assert profile.numeric["warmth"].mean == pytest.approx(15, abs=0.2)
    assert profile.numeric["warmth"].quantile(0.5) == pytest.approx(15, abs=0.2)
    assert (np.diff(profile.samples["wind"]) >= 0).all()
    assert sum(profile.categorical["city"].counts.values()) == 15_000
    assert profile.prediction.rows == profile.samples[PREDICTION].size == 6_600
    assert profile.performance.metric == "roc_auc"
    assert profile.performance.skill == pytest.approx(2 * profile.performance.value - 1, abs=0.03)  # no day effect here
    assert 0 < profile.performance.deviation < 0.15
    assert profile.performance.mean_prediction == pytest.approx(profile.performance.rate, abs=0.03)


def test_every_watched_column_has_a_null_by_window_size(profile):
    for stored in (*profile.numeric.values(), *profile.categorical.values(), profile.prediction):
        assert [null.rows for null in stored.nulls] == [200, 800]
        assert all(null.threshold > null.median > 0 for null in stored.nulls)
        assert stored.null_for(799).rows == 200
        assert stored.null_for(5_000).rows == 800
        assert stored.null_for(3).rows == 200


def test_ignored_columns_are_left_out():
    train, _ = make_table(20, seed=1)
    holdout, honest = make_table(10, seed=2)
    found = build_profile(
        make_spec(
            columns={
                "wind": {"drift": "ignore", "role": None, "method": None, "pii": "keep", "max_missing": None, "outliers": "watch"}
            }
        ),
        train,
        holdout,
        honest,
        seed=1,
    )
    assert list(found.numeric) == ["warmth"]


def test_nulls_one_class_and_empty_columns_are_no_error():
    train, _ = make_table(20, seed=1)
    holdout, honest = make_table(10, seed=2)
    train.loc[::4, "wind"] = np.nan
    train["warmth"] = np.nan
    train.loc[::10, "city"] = None
    found = build_profile(make_spec(), train, holdout.assign(wet=0), honest, seed=1)
    assert found.numeric["wind"].null_share == pytest.approx(0.25)
    assert found.categorical["city"].null_share == pytest.approx(0.1)
    assert (found.numeric["warmth"].null_share, found.numeric["warmth"].nulls) == (1.0, [])
    assert found.performance is None


def test_numbers_as_categories_are_named_as_the_log_names_them():
    train, _ = make_table(20, seed=1)
    holdout, honest = make_table(10, seed=2)
    found = build_profile(
        make_spec(), train.assign(city=train.index % 3 * 1.0), holdout.assign(city=holdout.index % 3), honest, seed=1
    )
    assert set(found.categorical["city"].counts) == {"0", "1", "2"}


def test_large_columns_keep_evenly_spaced_values():
    rows = SAMPLE_SIZE * 2
    at = pandas.date_range("2013-01-01", periods=rows, freq="min", tz="UTC")
    random = np.random.default_rng(1)
    table = pandas.DataFrame({"at": at, "wind": random.normal(size=rows), "warmth": 1.0, "city": "Oslo", "wet": 1})
    holdout, honest = make_table(10, seed=2)
    started = time.process_time()
    found = build_profile(make_spec(), table, holdout, honest, seed=1)
    assert time.process_time() - started < 4
    assert found.samples["wind"].size == SAMPLE_SIZE
    assert found.samples["wind"][[0, -1]].tolist() == [table["wind"].min(), table["wind"].max()]


@pytest.mark.parametrize(("rows", "predictions"), [(0, 0), (10, 9)])
def test_empty_or_unequal_input_is_refused(rows, predictions):
    train, _ = make_table(5, seed=1)
    with pytest.raises(DataInvalidError, match="profile of rain"):
        build_profile(make_spec(), train, train[:rows], np.zeros(predictions), seed=1)
