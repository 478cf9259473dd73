"""Attacks on the model and honest traffic: each attack is caught and named with its client; honest clients raise no alarm."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import numpy as np
import pandas
import pytest

from include.lifecycle.monitoring.profile import build_profile
from include.lifecycle.monitoring.security.patterns import near, once_per_key, pattern_shares, queries_of, swept
from include.lifecycle.monitoring.security.queries import OTHERS, check_queries
from tests.unit.lifecycle.monitoring.examples import CITIES, START, as_predictions, make_spec, make_table

LIVE = START + timedelta(days=200)
NONE = frozenset()


def score(frame: pandas.DataFrame) -> np.ndarray:
    """What the example's model says."""
    return 1 / (1 + np.exp(-(0.35 * (frame["wind"] - 6) - 0.05 * (frame["warmth"] - 15) - 0.8).to_numpy(np.float64)))


def wide(days: int, *, seed: int, per_day: int = 300, start=LIVE) -> pandas.DataFrame:
    """The example's rows with three more numbers: skewed, correlated, as most inputs are."""
    frame, _ = make_table(days, start=start, per_day=per_day, seed=seed)
    random = np.random.default_rng(seed + 1)
    frame["rain"] = random.exponential(2.0, len(frame)) * (frame["wind"] / 6)
    frame["cloud"] = random.beta(2, 6, len(frame))
    frame["height"] = np.exp(random.normal(3, 1, len(frame)))
    return frame


NUMBERS = ["wind", "warmth", "rain", "cloud", "height"]


@pytest.fixture(scope="module")
def spec():
    return make_spec(features={"numeric": NUMBERS})


@pytest.fixture(scope="module")
def known(spec):
    train = wide(100, seed=11, per_day=100, start=START)
    holdout = wide(40, seed=12, per_day=300, start=START + timedelta(days=150))
    return build_profile(spec, train, holdout, score(holdout), seed=3)


def served(frame: pandas.DataFrame, clients: np.ndarray | None, predictions: np.ndarray | None = None):
    from dataclasses import replace

    frame = frame.assign(client=clients).sort_values("at", kind="stable").reset_index(drop=True)
    found = as_predictions(frame, score(frame) if predictions is None else predictions, days=4, start=LIVE)
    features = {name: frame[name].to_numpy(np.float64) for name in NUMBERS} | {"city": frame["city"].to_numpy(object)}
    return replace(found, features=features, clients=frame["client"].to_numpy(object))


def with_attack(attack: pandas.DataFrame, *, client: str | None = "mallory", honest_days: int = 4):
    """Honest traffic of two clients with the attack's rows among it, spread over the window."""
    honest = wide(honest_days, seed=21)
    names = np.random.default_rng(2).choice(np.array(["web", "batch"], dtype=object), len(honest))
    at = pandas.to_datetime(pandas.Series(LIVE + timedelta(hours=1) + i * timedelta(minutes=3) for i in range(len(attack))))
    attack = attack.assign(at=at.to_numpy(), id=[f"a{i}" for i in range(len(attack))], wet=0)
    attack["at"] = pandas.to_datetime(attack["at"], utc=True)
    both = pandas.concat([honest, attack], ignore_index=True)
    return served(both, np.append(names, np.full(len(attack), client, dtype=object)))


def base(rows: int) -> pandas.DataFrame:
    """The same honest row again and again."""
    one = wide(1, seed=5).iloc[[7]][[*NUMBERS, "city"]]
    return pandas.concat([one] * rows, ignore_index=True)


def uniform(rows: int = 600) -> pandas.DataFrame:
    """Systematic coverage: values drawn evenly over the range of each input (Tramer et al. 2016)."""
    random, honest = np.random.default_rng(8), wide(20, seed=3)
    frame = pandas.DataFrame({n: random.uniform(*np.quantile(honest[n], [0.005, 0.995]), rows) for n in NUMBERS})
    return frame.assign(city=random.choice(CITIES, rows))


def sweep(rows: int = 600) -> pandas.DataFrame:
    """One input after the other through its range, all others held."""
    frame, honest = base(rows), wide(20, seed=3)
    for place, name in enumerate(NUMBERS):
        mine = np.arange(rows) % len(NUMBERS) == place
        frame.loc[mine, name] = np.linspace(*np.quantile(honest[name], [0.01, 0.99]), int(mine.sum()))
    return frame


def jitter(rows: int = 600) -> pandas.DataFrame:
    """Small steps from one row in every direction: finite differences."""
    random, frame = np.random.default_rng(9), base(rows)
    for name in NUMBERS:
        frame[name] *= 1 + random.normal(0, 0.002, rows)
    return frame


def hugging(rows: int = 600) -> pandas.DataFrame:
    """A walk along the boundary by small steps, each put back onto it (Brendel, Rauber & Bethge 2018)."""
    random, frame = np.random.default_rng(10), base(rows)
    frame["warmth"] = 15 + np.cumsum(random.normal(0, 0.05, rows))
    frame["wind"] = 6 + (0.8 + 0.05 * (frame["warmth"] - 15)) / 0.35 + random.normal(0, 0.02, rows)
    return frame


def far(rows: int = 600) -> pandas.DataFrame:
    """Every fifth query far outside."""
    frame = wide(3, seed=33).iloc[:rows][[*NUMBERS, "city"]].reset_index(drop=True)
    frame.loc[::5, "height"] = 1e6
    return frame


@pytest.mark.parametrize(
    ("attack", "check", "statistic"),
    [
        (uniform, "extraction", {"coverage"}),
        (sweep, "extraction", {"sweep", "near_duplicates"}),
        (jitter, "extraction", {"near_duplicates"}),
        (hugging, "adversarial", {"boundary"}),
        (far, "adversarial", {"far_outside"}),
    ],
)
def test_each_attack_is_caught_with_its_client_and_rule(spec, known, attack, check, statistic):
    window = with_attack(attack())
    verdict = {one.check: one for one in check_queries(spec, known, window, NONE)}[f"security:{check}"]
    assert verdict.failed, verdict.reason
    assert verdict.evidence["client"] == "mallory"
    assert verdict.evidence["measure"] in statistic
    assert verdict.evidence["rule"] == f"security:{check}.{verdict.evidence['measure']}"
    assert (verdict.evidence["severity"], verdict.evidence["effect"] > verdict.evidence["threshold"]) == ("act", True)


def test_without_keys_all_traffic_is_looked_at_together(spec, known):
    window = with_attack(jitter(900), client=None)
    from dataclasses import replace

    verdict = check_queries(spec, known, replace(window, clients=np.full(window.rows, None, dtype=object)), NONE)[0]
    assert verdict.failed
    assert verdict.evidence["client"] == OTHERS


def test_trusted_clients_may_sweep(known):
    trusting = make_spec(features={"numeric": NUMBERS}, monitoring={"security": {"trusted_clients": ["mallory"]}})
    assert all(one.passed for one in check_queries(trusting, known, with_attack(sweep()), NONE))


def test_a_broken_column_is_no_attack(spec, known):
    window = with_attack(far())
    extraction, adversarial = check_queries(spec, known, window, frozenset({"height", "@rows"}))
    assert (extraction.outcome, "height has a data fault" in extraction.reason) == ("inconclusive", True)
    assert (adversarial.outcome, adversarial.evidence["measure"]) == ("pass", "far_outside")


def test_few_queries_and_old_profiles_are_inconclusive(spec, known):
    few = served(wide(1, seed=4, per_day=100), None)
    assert {one.outcome for one in check_queries(spec, known, few, NONE)} == {"inconclusive"}
    old = known.model_copy(update={"patterns": None})
    told = check_queries(spec, old, with_attack(far()), NONE)
    assert {one.outcome for one in told} == {"inconclusive"}
    assert "honest traffic" in told[0].reason


def test_traffic_that_always_looks_alike_is_told_apart_from_nothing(known):
    """Two values in all: every honest row is another's near-duplicate, so that pattern can show nothing."""
    spec = make_spec(features={"numeric": ["wind"], "categorical": ["city"]})
    frame = wide(60, seed=1).assign(wind=lambda one: np.round(one["wind"] % 2))
    profile = build_profile(spec, frame.iloc[:9000], frame.iloc[9000:], score(frame)[9000:], seed=1)
    window = served(wide(4, seed=2).assign(wind=lambda one: np.round(one["wind"] % 2)), None)
    verdict = check_queries(spec, profile, window, NONE)[0]
    assert not verdict.failed
    assert "sweep" in verdict.evidence.get("not_told_apart", ["sweep"])


def test_an_entity_that_is_scored_again_counts_once():
    keys = np.array(["a", "a", None, "b", None, "c", *["z"] * 30], dtype=object)
    assert once_per_key(keys).tolist() == [0, 2, 3, 4, 5, *range(6, 36)]


def test_a_correction_is_no_sweep():
    hashes = np.array([[1, 10], [1, 11], [2, 10], [5, 5]], dtype=np.uint64)
    assert swept(hashes).tolist() == [False] * 4
    assert swept(np.array([[1, 10], [1, 11], [1, 12], [5, 5]], dtype=np.uint64)).tolist() == [True, True, True, False]


def test_equal_rows_are_no_near_duplicates(spec, known):
    frame = base(10)
    of = partial(queries_of, spec, known)
    same = of({name: frame[name].to_numpy() for name in frame}, score(frame))
    assert near(same, 0.01) == 0
    assert pattern_shares(same, 0.02)["near_duplicates"] == 0


def honest_window(seed: int):
    """A day of honest traffic: three clients with different parts of the world, some entities asked about again."""
    frame = wide(1, seed=seed, per_day=1500)
    random = np.random.default_rng(seed)
    client = np.where(frame["city"] == "Oslo", "north", np.where(random.random(len(frame)) < 0.6, "south", "app")).astype(object)
    again = random.random(len(frame)) < 0.15
    source = np.maximum(np.arange(len(frame)) - random.integers(1, 50, len(frame)), 0)
    for name in ("id", "city", "cloud", "height"):
        frame[name] = np.where(again, frame[name].to_numpy()[source], frame[name].to_numpy())
    return served(frame, client)


def test_honest_traffic_raises_no_alarm_in_a_quarter(spec, known):
    alarms = [
        verdict.reason
        for seed in range(91)
        for verdict in check_queries(spec, known, honest_window(7000 + seed), NONE)
        if verdict.failed
    ]
    assert alarms == []
