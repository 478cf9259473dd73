"""Simulated requests of two arms, second by second, many streams side by side: independent, diurnal with common shocks, bursts.

The statistics of rollouts are measured on them (rollout_statistics.py); every number here is an assumption and is told with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """One kind of traffic. `rate`: requests a second at the mean, of which `share` are the canary's; `error` the champion's.

    `swing`: the rate goes from (1 - swing) to (1 + swing) of its mean and back in `day` seconds, the odds of an error with it.
    `shock`: standard deviation of the logarithm of a factor on both arms' odds (or durations), correlated over `memory` seconds.
    `burst`: each arm for itself has one about every `burst_every` seconds, a second in which this share of its requests fails.
    """

    name: str
    rate: float = 10.0
    share: float = 0.1
    error: float = 0.01
    swing: float = 0.0
    day: float = 86_400.0
    shock: float = 0.0
    memory: float = 300.0
    burst: float = 0.0
    burst_every: float = 300.0


INDEPENDENT = Stream("independent")
DIURNAL = Stream("diurnal with common shocks", swing=0.8, day=7_200.0, shock=0.8)
BURSTS = Stream("bursts of one arm", burst=0.3)


@dataclass(frozen=True)
class Second:
    """What happened in one second, (streams,) each: totals and failures of champion and canary, and the common log-factor."""

    totals: tuple[Ints, Ints]
    failed: tuple[Ints, Ints]
    level: Floats


def seconds(stream: Stream, streams: int, length: int, worse: float, generator: np.random.Generator) -> Iterator[Second]:
    """`length` seconds of errors; the canary's share of errors is `worse` above what the champion's is in the same second."""
    level, start = np.zeros(streams), generator.random(streams) * stream.day
    kept = np.exp(-1 / stream.memory)
    for second in range(length):
        level = kept * level + np.sqrt(1 - kept**2) * stream.shock * generator.standard_normal(streams)
        wave = np.sin(2 * np.pi * (start + second) / stream.day)
        requests = generator.poisson(stream.rate * (1 + stream.swing * wave))
        canary = generator.binomial(requests, stream.share)
        odds = stream.error / (1 - stream.error) * np.exp(level + stream.swing * wave - stream.shock**2 / 2)
        rate = odds / (1 + odds)
        totals = (requests - canary, canary)
        failed = [
            generator.binomial(total, np.minimum(_burst(stream, rate, generator) + more, 1.0))
            for total, more in zip(totals, (0.0, worse), strict=True)
        ]
        yield Second(totals, (failed[0], failed[1]), level)


def _burst(stream: Stream, rate: Floats, generator: np.random.Generator) -> Floats:
    if not stream.burst:
        return rate
    return np.where(generator.random(rate.shape) < 1 / stream.burst_every, np.maximum(rate, stream.burst), rate)


@dataclass(frozen=True)
class Latencies:
    """Lognormal durations in milliseconds; `slots` requests a second at most."""

    median: float = 100.0
    sigma: float = 0.5
    slots: int = 10


def durations(
    kind: Latencies, stream: Stream, streams: int, length: int, factor: float, generator: np.random.Generator
) -> Iterator[tuple[Floats, NDArray[np.bool_]]]:
    """`length` seconds of (durations, is canary's), (streams, slots) each; the canary's durations are `factor` times as long."""
    level, kept = np.zeros(streams), np.exp(-1 / stream.memory)
    for _ in range(length):
        level = kept * level + np.sqrt(1 - kept**2) * stream.shock * generator.standard_normal(streams)
        canary = generator.random((streams, kind.slots)) < stream.share
        noise = kind.sigma * generator.standard_normal((streams, kind.slots))
        yield kind.median * np.exp(level[:, None] + noise) * np.where(canary, factor, 1.0), canary
