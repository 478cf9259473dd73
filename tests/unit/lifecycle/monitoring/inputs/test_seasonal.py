"""Drift against the season and slow creep on weeks of windows that follow the hour of the day: quiet, stepped and creeping."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from include.lifecycle.monitoring.inputs.budget import level_of
from include.lifecycle.monitoring.inputs.creep import check_creep
from include.lifecycle.monitoring.inputs.season import Season, Span
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.storage import Storage
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.monitoring.inputs.streams import LENGTH, LIVE, Live, diurnal_profile, diurnal_spec, table

PER_DAY = int(timedelta(days=1) / LENGTH)


@pytest.fixture(scope="module")
def diurnal():
    return diurnal_spec()


@pytest.fixture(scope="module")
def reference(diurnal):
    return diurnal_profile(diurnal)


@pytest.fixture
def lived(tmp_path, reference, diurnal):
    """Verdicts of each window by check, oldest first."""

    def live(shift=lambda days: 0.0, *, days=42, spec=None, seed=7):
        frame = table(LIVE, timedelta(days=days), seed, shift=shift)
        return [{one.check: one for one in found} for found in Live(spec or diurnal, reference, tmp_path).verdicts(frame)]

    return live


def drift_of(windows):
    return [one["covariate:warmth"] for one in windows]


def creep_of(windows):
    return [one["creep:warmth"] for one in windows if "creep:warmth" in one]


def test_the_season_takes_over_once_there_is_enough_of_it(lived, diurnal, reference):
    windows = lived()
    references = [verdict.evidence["reference"] for verdict in drift_of(windows)]
    begun = references.index("seasonal")
    assert begun == diurnal.monitoring.seasonal.minimum_windows * 7 * PER_DAY
    assert set(references[begun:]) == {"seasonal"}
    assert {verdict.outcome for verdict in drift_of(windows)} == {Outcome.PASS}
    last = drift_of(windows)[-1].evidence
    assert (last["windows"], last["null_level"]) == (4, level_of(diurnal, "drift"))
    assert last["threshold"] < 0.6 * reference.numeric["warmth"].null_for(100).threshold  # nights lie far from training


def test_a_step_that_training_cannot_see_is_drift_by_the_season(lived, reference):
    windows = lived(lambda day: 4.0 if day >= 40 else 0.0, days=43)
    stepped = drift_of(windows)[40 * PER_DAY :]
    assert all(verdict.failed and verdict.evidence["reference"] == "seasonal" for verdict in stepped)
    bar = reference.numeric["warmth"].null_for(100).threshold
    assert min(verdict.evidence["training_distance"] for verdict in stepped) < bar
    assert not any(verdict.failed for verdict in drift_of(windows)[: 40 * PER_DAY])


def test_slow_creep_moves_the_season_along_and_is_found_against_training(lived):
    windows = lived(lambda day: 0.06 * day, days=56)
    assert not any(verdict.failed for verdict in drift_of(windows))
    creep = creep_of(windows)
    assert len(creep) == 56  # once a day
    assert [verdict.outcome for verdict in creep[:13]] == [Outcome.INCONCLUSIVE] * 13
    assert creep[-1].failed
    assert creep[-1].evidence["effect"] > creep[-1].evidence["threshold"] >= 0.1


def test_quiet_weeks_hardly_ever_fail(lived):
    found = [verdict for one in lived(seed=21) for verdict in one.values()]
    assert sum(verdict.failed for verdict in found) == 0
    assert sum(verdict.evidence.get("reference") == "seasonal" for verdict in found) > 80


def test_the_setting_says_which_reference_counts(lived):
    by_training = drift_of(lived(spec=diurnal_spec(reference="training"), days=28))
    assert {verdict.evidence["reference"] for verdict in by_training} == {"training"}
    strict = drift_of(lived(spec=diurnal_spec(reference="seasonal"), days=28))
    assert {verdict.outcome for verdict in strict[: 20 * PER_DAY]} == {Outcome.INCONCLUSIVE}
    assert "the season has 0 windows" in strict[0].reason
    assert strict[-1].evidence["reference"] == "seasonal"


def test_a_column_with_another_distance_keeps_training(tmp_path, reference, diurnal):
    other = reference.numeric["warmth"].model_copy(
        update={"method": "kl_divergence", "edges": [10.0, 15.0], "bin_counts": [5, 5, 5]}
    )
    profile = reference.model_copy(update={"numeric": {"warmth": other}})
    frame = table(LIVE, timedelta(days=28), 7)
    found = [
        one
        for verdicts in Live(diurnal, profile, tmp_path).verdicts(frame)
        for one in verdicts
        if one.check == "covariate:warmth"
    ]
    assert {verdict.evidence["reference"] for verdict in found} == {"training"}


def test_creep_is_silent_without_past_or_when_off(tmp_path, reference, diurnal):
    window = Window(LIVE - LENGTH, LIVE)
    empty = Season(Storage(tmp_path), "rain", [Span("warmth", LIVE - timedelta(days=1), None)], {})
    assert check_creep(diurnal, reference, window, None) == []
    off = diurnal_spec(creep={"weeks": 0})
    assert check_creep(off, reference, window, empty) == []
    assert check_creep(diurnal, reference, Window(LIVE, LIVE + LENGTH), empty) == []  # not the day's last
    (verdict,) = check_creep(diurnal, reference, window, empty)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert np.isclose(verdict.evidence["rows"], 0)
