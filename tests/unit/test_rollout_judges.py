"""The simulation's streams and the two peers' judges do what their sources say."""

import numpy as np
import pytest

from benchmarks.judges import FlaggerErrors, Kayenta, SafeErrors, shift
from benchmarks.streams import BURSTS, DIURNAL, INDEPENDENT, Latencies, durations, seconds


def test_the_shift_and_its_interval():
    """Of 1..5 against the same plus 10: estimate 10; the interval's ranks are R's (wilcox.test, conf.level 0.9: 8 to 12)."""
    control = np.arange(1.0, 6.0)
    low, estimate = shift(control, control + 10, 0.9)
    assert (low, estimate) == (8.0, 10.0)


def test_the_interval_covers_as_it_says():
    generator = np.random.default_rng(3)
    below = [shift(*generator.standard_normal((2, 30)), 0.98)[0] > 0 for _ in range(600)]
    assert np.mean(below) <= 0.01 + 3 * np.sqrt(0.01 / 600)


def test_kayenta_calls_high_what_is_above_its_tolerance():
    judge, generator = Kayenta(2), np.random.default_rng(1)
    judge.canary[:] = 600
    for _ in range(10):
        same = generator.normal(10, 1, 2)
        judge.minute(same, np.array([generator.normal(10, 1), generator.normal(20, 1)]))
    assert judge.stopped.tolist() == [np.inf, 600]


def test_flagger_stops_at_the_fifth_failed_check_and_an_empty_minute_is_none():
    judge = FlaggerErrors(3, 0.99)
    for second in range(300):
        failed = np.array([[0, 0, 0], [1, 0, 0]]) * (second % 60 == 0)
        judge.second(np.array([[9.0, 9, 9], [1, 1, 0]]), failed.astype(float))
    assert judge.stopped.tolist() == [300, np.inf, np.inf]


@pytest.mark.parametrize("stream", [INDEPENDENT, DIURNAL, BURSTS])
def test_streams_have_the_rates_that_they_name(stream):
    totals, failed = np.zeros(2), np.zeros(2)
    judge = SafeErrors(50, stream.share)
    for one in seconds(stream, 50, 2_000, 0.05, np.random.default_rng(1)):
        totals += [one.totals[0].sum(), one.totals[1].sum()]
        failed += [one.failed[0].sum(), one.failed[1].sum()]
        judge.second(np.stack(one.totals).astype(float), np.stack(one.failed).astype(float))
    assert totals[1] / totals.sum() == pytest.approx(stream.share, rel=0.03)
    assert totals.sum() / (50 * 2_000) == pytest.approx(stream.rate, rel=0.15)
    assert failed[1] / totals[1] - failed[0] / totals[0] == pytest.approx(0.05, abs=0.006)
    assert np.isfinite(judge.stopped).all()


def test_durations_are_longer_by_the_factor():
    times, canary = zip(*durations(Latencies(), INDEPENDENT, 20, 300, 1.5, np.random.default_rng(2)), strict=True)
    times, canary = np.concatenate(times), np.concatenate(canary)
    assert np.median(times[canary]) / np.median(times[~canary]) == pytest.approx(1.5, rel=0.05)
