"""How often a good canary is sent back, and how soon a bad one: our tests beside Flagger's and Kayenta's judges, simulated.

Nothing runs but arithmetic: streams of both arms second by second (streams.py), three judges on the same ones (judges.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.harness import Bench, Claim
from benchmarks.judges import ALPHA, FlaggerErrors, Judge, KayentaErrors, PeerLatency, SafeErrors, SafeLatency
from benchmarks.streams import BURSTS, DIURNAL, INDEPENDENT, Latencies, Stream, durations, seconds

SIZES = {"streams": 1_000, "canary_requests": 6_000, "latency_streams": 200, "latency_requests": 3_000}
TINY = {"streams": 20, "canary_requests": 400, "latency_streams": 10, "latency_requests": 400}
BARS = {2: 574.0, 5: 128.0, 10: 46.0}  # canary requests: what a plug-in safe test without memory of bursts needed
FACTORS = (1.2, 1.5, 2.0)


def run(bench: Bench) -> list[Claim]:
    """Claims: false rollbacks on three kinds of streams, canary requests to catch +2, +5, +10 points and 1.2x, 1.5x, 2x."""
    streams, length = bench.sizes["streams"], _length(INDEPENDENT, bench.sizes["canary_requests"])
    kinds = {kind.name: kind for kind in (INDEPENDENT, DIURNAL, BURSTS)}
    equal = {name: _errors(kind, streams, length, 0.0) for name, kind in kinds.items()}
    for name, found in equal.items():
        bench.say(f"equal, {name}: {_told(found)}")
    claims = [_false(name, found) for name, found in equal.items()]
    for points, bar in BARS.items():
        found = {name: _errors(kind, streams, length, points / 100) for name, kind in kinds.items()}
        for name, judged in found.items():
            bench.say(f"+{points} points, {name}: {_told(judged)}")
        claims.append(_caught(f"rollout_catch_{points}_points", found, bar))
    return claims + _latency_claims(bench)


def _length(stream: Stream, canary_requests: int) -> int:
    return round(canary_requests / (stream.rate * stream.share))


def _errors(stream: Stream, streams: int, length: int, worse: float) -> dict[str, dict[str, float]]:
    """All judges of errors on the same streams."""
    generator = np.random.default_rng([7, round(1000 * worse), len(stream.name)])
    judges: dict[str, SafeErrors | FlaggerErrors | KayentaErrors] = {
        "ours": SafeErrors(streams, stream.share),
        "flagger 99 %": FlaggerErrors(streams, 0.99),
        "flagger 95 %": FlaggerErrors(streams, 0.95),
        "kayenta": KayentaErrors(streams),
    }
    for one in seconds(stream, streams, length, worse, generator):
        for judge in judges.values():
            judge.second(np.stack(one.totals).astype(float), np.stack(one.failed).astype(float))
        if all(np.isfinite(judge.stopped).all() for judge in judges.values()):
            break
    return {name: _summary(judge) for name, judge in judges.items()}


def _summary(judge: Judge) -> dict[str, float]:
    """Share of streams that were rolled back, and median and 90th percentile of the canary requests until then."""
    stopped = np.sort(judge.stopped)
    median, late = (float(stopped[int(share * (stopped.size - 1))]) for share in (0.5, 0.9))
    return {"rolled_back": float(np.isfinite(stopped).mean()), "median": median, "p90": late}


def _told(found: Mapping[str, Mapping[str, float]]) -> str:
    return "; ".join(
        f"{name} {one['rolled_back']:.1%} at {one['median']:.0f} (p90 {one['p90']:.0f})" for name, one in found.items()
    )


def _false(name: str, found: Mapping[str, Mapping[str, float]]) -> Claim:
    """False rollbacks at alpha 1 %, three standard errors of the simulation allowed; bursts break what the test assumes."""
    bar = 3.0 if name == BURSTS.name else 1.0 + 3 * float(np.sqrt((1 - ALPHA) / ALPHA / 1_000))
    rate, claim = found["ours"]["rolled_back"], f"rollout_false_{name.split(maxsplit=1)[0]}"
    peer = found["kayenta"]["rolled_back"]
    return Claim(
        claim, 100 * rate, 100 * peer, "% of streams", rate / ALPHA, bar, "at_most", {"judges": _plain(found), "on": name}
    )


def _caught(claim: str, found: Mapping[str, Mapping[str, Mapping[str, float]]], bar: float) -> Claim:
    """Median canary requests on independent streams, held against the bar; all streams and judges stand in the details."""
    ours, peer = (found[INDEPENDENT.name][judge]["median"] for judge in ("ours", "kayenta"))
    details = {name: _plain(judged) for name, judged in found.items()}
    known = None if np.isinf(peer) else peer
    if np.isinf(ours):  # most streams ended before it was caught
        return Claim(claim, -1.0, known, "canary requests", -1.0, 0.0, "at_least", {"streams": details, "bar_requests": bar})
    return Claim(claim, ours, known, "canary requests", ours / bar, 1.0, "at_most", {"streams": details, "bar_requests": bar})


def _plain(found: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """JSON has no infinity: a judge that most streams never stop has no median."""
    return {name: {key: None if np.isinf(value) else value for key, value in one.items()} for name, one in found.items()}


def _latency_claims(bench: Bench) -> list[Claim]:
    streams, length = bench.sizes["latency_streams"], _length(INDEPENDENT, bench.sizes["latency_requests"])
    busy = replace(DIURNAL, name="common load", swing=0.0, shock=0.3)
    found = {
        factor: {kind.name: _latency(kind, streams, length, factor) for kind in (INDEPENDENT, busy)} for factor in (1.0, *FACTORS)
    }
    for factor, kinds in found.items():
        for name, judged in kinds.items():
            bench.say(f"latency x{factor:g}, {name}: {_told(judged)}")
    rate = max(one["ours"]["rolled_back"] for one in found[1.0].values())
    bar = 1.0 + 3 * float(np.sqrt((1 - ALPHA) / ALPHA / streams))
    told = {name: _plain(one) for name, one in found[1.0].items()}
    claims = [Claim("rollout_false_latency", 100 * rate, None, "% of streams", rate / ALPHA, bar, "at_most", told)]
    for factor in FACTORS:
        judged = found[factor][INDEPENDENT.name]
        ours, peer = judged["ours"]["median"], judged["kayenta"]["median"]
        details = {name: _plain(one) for name, one in found[factor].items()}
        known = None if np.isinf(peer) else peer
        claims.append(_beside(f"rollout_catch_{factor:g}x_latency", ours, known, details))
    return claims


def _beside(claim: str, ours: float, peer: float | None, details: dict[str, Any]) -> Claim:
    """Median canary requests beside Kayenta's; what is not caught on most streams misses its bar."""
    if np.isinf(ours):
        return Claim(claim, -1.0, peer, "canary requests", -1.0, 0.0, "at_least", details)
    return Claim(claim, ours, peer, "canary requests", 0.0 if peer is None else ours / peer, 1.0, "at_most", details)


def _latency(stream: Stream, streams: int, length: int, factor: float) -> dict[str, dict[str, float]]:
    generator = np.random.default_rng([8, round(100 * factor), len(stream.name)])
    ours, peers = SafeLatency(streams, stream.share), PeerLatency(streams)
    for times, canary in durations(Latencies(), stream, streams, length, factor, generator):
        ours.second(times, canary)
        peers.second(times, canary)
        if all(np.isfinite(one).all() for one in (ours.stopped, peers.stopped, peers.kayenta.stopped)):
            break
    return {"ours": _summary(ours), "flagger 500 ms": _summary(peers), "kayenta": _summary(peers.kayenta)}
