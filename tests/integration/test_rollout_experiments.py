"""A/B and A/A tests under live traffic: real Envoy, real servers' logs, real outcomes, sticky users."""

import time
from datetime import timedelta

import pytest

from include.lifecycle.loading import load_model
from include.lifecycle.rollout.experiments.aa import passed_aa_test, plan_aa_test
from include.lifecycle.rollout.experiments.listing import experiment_standings
from include.lifecycle.rollout.experiments.measure import measure_experiment
from include.lifecycle.rollout.steering import steer
from include.lifecycle.runtime import RunContext
from tests.integration.strategy_lab import MODEL
from tests.integration.visitors import LoggingLab, verdict_of, visitors
from tests.unit.lifecycle.rollout import experiment_lab

pytestmark = pytest.mark.integration
RULES = {"split": 0.5, "minimum_samples": 150, "at_least": "1s", "at_most": "60s", "minimum_effect": 0.02}


@pytest.fixture
def lab(stack, make_runtime):
    """`lab(right=...)`: a LoggingLab whose champion serves, with a candidate that is right so often."""
    made = []

    def build(**behaviour):
        lab = LoggingLab(make_runtime(**stack.environment), stack.port, 1, behaviour)
        made.append(lab)
        lab.serve_champion()
        return lab

    yield build
    for one in made:
        one.clear()


def experiment(lab, postgres, clients):
    """What the Dag measure_experiments does, whenever the driver looks: store what is known, measure."""
    access, spec = experiment_lab.database(postgres), load_model("flight_delay").model_copy(update={"name": MODEL})
    measured = {"at": 0.0}

    def between():
        if time.monotonic() - measured["at"] < 0.5:
            return
        fresh, clients.known[:] = list(clients.known), []
        if fresh:
            experiment_lab.outcomes(access, fresh)
        measure_experiment(spec, lab.rt, access)
        measured["at"] = time.monotonic()

    return between


def test_a_better_challenger_wins_its_users(lab, postgres):
    lab = lab(right=0.97)
    with visitors(lab) as clients:
        outcome = lab.drive(lab.plan("ab_test", ab_test=RULES), between=experiment(lab, postgres, clients), seconds=60)
        during = dict(clients.met)
    assert (outcome.state, lab.aliases["champion"]) == ("promoted", 8)
    assert clients.failed == 0, clients.problems[:5]
    assert {7: 50, 8: 50} in lab.seen
    (standing,) = experiment_standings(lab.rt, closed=True)
    found = standing.evidence
    assert (found.detail["crossed"], found.detail["rows_without_key"]) == (0, 0)
    assert found.difference == pytest.approx(0.22, abs=0.08)
    assert verdict_of(lab, "promote", "experiment")[0] == "pass"
    assert len(during) > 300
    print(
        f"A/B: {outcome.state}; {found.samples} / {found.champion_samples} users, {found.difference:+.3f} from {found.lower:+.3f}"
    )


def test_a_worse_challenger_loses_early(lab, postgres):
    worse = lab(right=0.4)
    rules = RULES | {"minimum_samples": 100_000, "at_least": "7d", "at_most": "28d"}
    with visitors(worse) as clients:
        outcome = worse.drive(worse.plan("ab_test", ab_test=rules), between=experiment(worse, postgres, clients), seconds=60)
    assert outcome.state == "rolled_back"
    assert "success is surely worse" in outcome.reason
    assert (worse.aliases["champion"], clients.failed) == (7, 0)


def test_a_person_concludes_for_the_champion(lab, postgres):
    equal = lab(right=0.75)

    def conclude():
        if 8 in equal.target.read_back(MODEL):
            steer(equal.rt, MODEL, "conclude", by="ada", reason="enough seen", winner="champion")

    with visitors(equal) as clients:
        outcome = equal.drive(equal.plan("ab_test", ab_test=RULES | {"winner": "manual"}), between=_once(conclude))
    assert (outcome.state, equal.aliases["champion"], clients.failed) == ("rolled_back", 7, 0)
    assert "ada asked to conclude with the champion as winner: enough seen" in outcome.reason


def _once(act):
    """Call it until it has been called in vain no more: a wish waits until the driver took it up."""
    done = []

    def between():
        if not done and (act() or True):
            done.append(True)

    return between


def test_a_version_does_not_differ_from_itself(lab, postgres):
    lab = lab()
    spec = load_model("flight_delay")
    rules = spec.rollout.ab_test.model_copy(
        update={"split": 0.5, "minimum_samples": 120, "at_least": timedelta(seconds=1), "alpha": 0.001}
    )
    spec = spec.model_copy(update={"name": MODEL, "rollout": spec.rollout.model_copy(update={"ab_test": rules})})
    run = RunContext(model=MODEL, run_id="aa-1", task="plan_aa_test")
    with visitors(lab) as clients:
        planned = plan_aa_test(spec, lab.rt, run, reason="trust", hands=lab.hands)
        assert plan_aa_test(spec, lab.rt, run, reason="trust", hands=lab.hands).rollout_id == planned.rollout_id
        outcome = lab.drive(planned.rollout_id, between=experiment(lab, postgres, clients), seconds=60)
    assert outcome.state == "concluded"
    assert passed_aa_test(lab.rt, outcome), outcome.reason
    assert (lab.aliases, clients.failed) == ({"champion": 7}, 0)
    assert (lab.target.read_back(MODEL), lab.servers()) == ({7: 100}, ({7: 1}, 0))
    arms = {met for user in clients.met.values() for met in user}
    assert {arm for _, arm in arms} == {None, "baseline"}
    print(f"A/A: {outcome.reason}")
