"""Every strategy through the same machine: what it walks, what people may ask. What holds on any path: test_machine_paths.py."""

from datetime import UTC, datetime, timedelta

import pytest

from include.lifecycle.loading import load_model
from include.lifecycle.rollout import machine
from include.lifecycle.rollout.evidence import Command, ExperimentEvidence, Measurement, PairEvidence
from include.lifecycle.rollout.planning.plans import make_plan
from include.lifecycle.rollout.planning.recent_traffic import RecentTraffic
from include.lifecycle.rollout.states import State, Status, Transition
from include.lifecycle.rollout.status_after import after, while_frozen
from include.lifecycle.rollout.steering import misfit
from include.lifecycle.spec import RolloutSection

START = datetime(2026, 1, 1, tzinfo=UTC)
STRATEGIES = {
    "canary": {},
    "canary, manual": {"steps": [{"percent": 10, "at_least": "5m", "requests": 50, "manual": True}]},
    "canary, baseline": {"concurrent_baseline": True},
    "canary, hold": {"on_inconclusive": "hold"},
    "blue_green": {},
    "blue_green, look": {"blue_green": {"mirror": 50, "at_least": "5m", "requests": 100}},
    "rolling": {},
    "shadow": {},
    "shadow, hold": {"shadow": {"then": "hold"}},
    "shadow, promote": {"shadow": {"then": "promote"}},
    "ab_test": {},
    "ab_test, manual": {"ab_test": {"winner": "manual"}},
    "ab_test, canary": {"ab_test": {"then": "canary"}},
    "aa_test": {},
    "direct": {},
    "direct, first": {},
}


def plan_for(name, *, replicas=3, **changes):
    """The plan that the flight model's YAML with these changes gives."""
    spec = load_model("flight_delay")
    rules = spec.rollout.model_dump(mode="json") | {"limits": spec.rollout.limits.model_dump()}
    for key, value in [*STRATEGIES[name].items(), *changes.items()]:
        rules[key] = rules[key] | value if isinstance(value, dict) else value
    strategy = name.partition(",")[0]
    rules |= {"strategy": "canary" if strategy == "aa_test" else strategy}
    rollout = RolloutSection.model_validate(rules)
    if strategy == "aa_test":
        rollout = rollout.model_copy(update={"strategy": "aa_test"})
    server = spec.server.model_copy(update={"replicas": replicas})
    spec = spec.model_copy(update={"name": "churn", "rollout": rollout, "server": server})
    champion = None if name == "direct, first" else 7
    return make_plan(spec, 7 if strategy == "aa_test" else 8, champion, RecentTraffic())


def seen_by(plan, *, requests=5000, errors=0.0, slow=0.0, agreed=1.0, effect=(0.02, 0.04), **more):
    """A look that saw so many requests, pairs and samples, with these shares."""
    lower, upper = effect
    arms = {"samples": requests, "champion_samples": 9 * requests, "detail": {"elapsed_seconds": 8 * 86_400}}
    experiment = ExperimentEvidence(difference=(lower + upper) / 2, lower=lower, upper=upper, **arms)
    return Measurement(
        requests=requests,
        errors=int(errors * requests),
        timed=requests,
        slow=int(slow * requests),
        limit_us=20_000.0,
        champion_requests=9 * requests,
        pairs=PairEvidence(pairs=requests, agreed=int(agreed * requests)),
        experiment=experiment,
        **more,
    )


def walk(plan, seen, *, looks=60, hours=24):
    """The acts and states of a rollout that sees the same at each look, as the driver would carry them out."""
    status, now, acts = Status(), START, []
    for _ in range(looks):
        transition = machine.step(plan, status, seen, now)
        if transition.act != "wait":
            acts.append((transition.act, transition.weights))
            status = status.model_copy(update=after(status, transition, now))
        if not status.state.is_open:
            break
        now += timedelta(hours=hours)
    return State.HELD if status.held else status.state, acts


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_good_version_ends_where_its_strategy_leads(name):
    plan = plan_for(name)
    state, acts = walk(plan, seen_by(plan))
    ends = {"aa_test": State.CONCLUDED}
    ends |= dict.fromkeys(("canary, manual", "shadow, hold", "ab_test, manual"), State.HELD)
    assert state is ends.get(name, State.PROMOTED)
    shifts = [weights[plan.version] for act, weights in acts if act == "shift_traffic"]
    assert shifts == [stage.percent if plan.strategy != "aa_test" else 100 for stage in plan.stages][: len(shifts)]
    assert len(shifts) == len(plan.stages)


@pytest.mark.parametrize("name", [one for one in STRATEGIES if one != "direct, first"])
def test_a_failing_version_gives_the_traffic_back_at_its_first_look(name):
    plan = plan_for(name)
    state, acts = walk(plan, seen_by(plan, errors=0.5), hours=0)
    if name == "aa_test":
        assert state is State.CONCLUDED
        return
    assert state is State.ROLLED_BACK
    assert [act for act, _ in acts] == [acts[0][0], "roll_back"]
    assert acts[-1][1] == {7: 100}


def test_shares_of_each_strategy():
    shares = {name: [stage.percent for stage in plan_for(name).stages] for name in STRATEGIES}
    assert shares["rolling"] == [33, 67]
    assert shares["blue_green"] == shares["direct"] == shares["direct, first"] == []
    assert shares["shadow"] == [0, 10, 25, 50]
    assert shares["ab_test, canary"] == [10, 25, 50]
    assert [stage.servers for stage in plan_for("rolling").stages] == [(1, 2), (2, 1)]
    assert [stage.baseline for stage in plan_for("canary, baseline").stages] == [10, 25, 50]


def running(plan, **changes):
    """In the first stage since START."""
    first = machine.step(plan, Status(), Measurement(), START)
    return Status().model_copy(update=after(Status(), first, START) | changes)


def test_a_skip_that_was_asked_of_the_stage_before_does_not_end_the_bake():
    plan = plan_for("canary")
    status = Status(state=State.BAKING, step=len(plan.stages), since=START, started=START, weights={7: 0, 8: 100})
    late = wish("skip", at=START - timedelta(seconds=1))
    assert machine.step(plan, status, seen_by(plan, command=late), START).act == "wait"
    meant = wish("skip", at=START + timedelta(seconds=1))
    assert machine.step(plan, status, seen_by(plan, command=meant), START + timedelta(seconds=2)).act == "confirm"


def test_a_resumed_rollout_that_was_held_has_its_patience_anew():
    plan = plan_for("canary").model_copy(update={"on_inconclusive": "hold"})
    status, later = running(plan), START + plan.give_up_after
    held = machine.step(plan, status, seen_by(plan, requests=0), later)
    assert (held.act, held.state, held.weights) == ("hold", State.RUNNING, status.weights)
    status = status.model_copy(update=after(status, held, later))
    much_later = later + timedelta(days=3)
    back = machine.step(plan, status, seen_by(plan, requests=0, command=wish("resume")), much_later)
    status = status.model_copy(update=after(status, back, much_later))
    assert (status.held, status.paused, status.since, status.started) == (False, False, much_later, much_later)
    assert machine.step(plan, status, seen_by(plan, requests=0), much_later + timedelta(hours=1)).act == "wait"


def test_a_pause_within_a_freeze_counts_once():
    status = running(plan_for("canary"))
    hour = timedelta(hours=1)
    status = status.model_copy(update=while_frozen(status, "frozen", START))
    pause = Transition(act="pause", state=status.state, step=0, weights=status.weights, reason="")
    status = status.model_copy(update=after(status, pause, START + hour))
    status = status.model_copy(update=while_frozen(status, "", START + 2 * hour))
    assert status.since == START
    resume = pause.model_copy(update={"act": "resume"})
    status = status.model_copy(update=after(status, resume, START + 3 * hour))
    assert (status.since, status.halted_at) == (START + 3 * hour, None)


def wish(command, **more):
    return Command(wish=command, by="ada", reason="because", **more)


def test_paused_waits_whatever_passes_and_goes_back_when_a_check_fails():
    plan = plan_for("canary")
    status = running(plan, paused=True, paused_at=START)
    late = START + timedelta(days=30)
    assert machine.step(plan, status, seen_by(plan), late).act == "wait"
    assert machine.step(plan, status, seen_by(plan, errors=0.5), late).act == "roll_back"
    assert machine.step(plan, status, seen_by(plan, command=wish("skip")), late).act == "wait"


def test_a_pause_does_not_count_as_time():
    plan = plan_for("canary")
    status = running(plan)
    paused = machine.step(plan, status, seen_by(plan, requests=0, command=wish("pause")), START + timedelta(hours=1))
    assert (paused.act, paused.state, paused.reason) == ("pause", State.RUNNING, "ada asked to pause: because")
    status = status.model_copy(update=after(status, paused, START + timedelta(hours=1)))
    back = machine.step(plan, status, seen_by(plan, requests=0, command=wish("resume")), START + timedelta(days=30))
    status = status.model_copy(update=after(status, back, START + timedelta(days=30)))
    assert (status.paused, status.started) == (False, START + timedelta(days=30) - timedelta(hours=1))
    assert machine.step(plan, status, seen_by(plan, requests=0), START + timedelta(days=30, hours=22)).act == "wait"


def test_a_freeze_does_not_count_as_time_either():
    status = running(plan_for("canary"))
    frozen = status.model_copy(update=while_frozen(status, "an incident", START + timedelta(hours=1)))
    assert while_frozen(frozen, "an incident", START + timedelta(hours=2))["frozen_at"] == START + timedelta(hours=1)
    thawed = frozen.model_copy(update=while_frozen(frozen, "", START + timedelta(hours=5)))
    assert (thawed.started, thawed.since, thawed.frozen_at) == (START + timedelta(hours=4), START + timedelta(hours=4), None)
    assert while_frozen(thawed, "", START) == {}


def test_skip_leaves_a_stage_now_and_names_what_has_not_passed():
    plan = plan_for("canary")
    transition = machine.step(plan, running(plan), seen_by(plan, requests=3, command=wish("skip")), START)
    assert (transition.act, transition.weights[8]) == ("shift_traffic", 25)
    assert transition.reason.startswith("ada asked to skip: because (not passed: error_rate, latency)")
    frozen = seen_by(plan, command=wish("skip"), frozen="churn is frozen")
    assert machine.step(plan, running(plan), frozen, START).act == "wait"


def test_a_manual_stage_waits_for_resume():
    plan = plan_for("canary, manual")
    later = START + timedelta(hours=1)
    waits = machine.step(plan, running(plan), seen_by(plan), later)
    assert (waits.act, waits.reason) == ("wait", "passed; waits for a person's resume")
    early = seen_by(plan, requests=10, command=wish("resume"))
    assert machine.step(plan, running(plan), early, later).act == "wait"
    assert machine.step(plan, running(plan), seen_by(plan, command=wish("resume")), later).act == "promote"


@pytest.mark.parametrize(("winner", "act"), [("challenger", "promote"), ("champion", "roll_back")])
def test_a_person_concludes_an_experiment(winner, act):
    plan = plan_for("ab_test, manual")
    seen = seen_by(plan, effect=(-0.01, 0.01), command=wish("conclude", winner=winner))
    transition = machine.step(plan, running(plan), seen, START + timedelta(days=8))
    assert transition.act == act
    assert f"with the {winner} as winner" in transition.reason


def test_an_experiment_ends_at_its_own_time_and_not_at_give_up_after():
    plan = plan_for("ab_test")
    open_one = seen_by(plan, effect=(-0.01, 0.01))
    assert machine.step(plan, running(plan), open_one, START + timedelta(days=27)).act == "wait"
    assert machine.step(plan, running(plan), open_one, START + timedelta(days=28)).act == "roll_back"


@pytest.mark.parametrize("choice", ["wait", "replace"])
def test_a_newer_candidate_waits_or_replaces(choice):
    plan = plan_for("canary", on_new_candidate=choice)
    transition = machine.step(plan, running(plan), seen_by(plan, requests=1, newer=9), START)
    assert transition.act == ("wait" if choice == "wait" else "abort")
    baking = running(plan).model_copy(update={"state": State.BAKING, "step": 3})
    assert machine.step(plan, baking, seen_by(plan, newer=9), START).act == "wait"


def test_what_the_watchdog_did_is_followed():
    plan = plan_for("canary")
    told = machine.step(plan, running(plan), seen_by(plan, watchdog="lease lapsed"), START)
    assert (told.act, told.state, told.reason) == ("roll_back", State.ROLLED_BACK, "lease lapsed")


@pytest.mark.parametrize(
    ("name", "changes", "command", "problem"),
    [
        ("canary", {"state": State.PLANNED}, wish("pause"), "waits for serving check"),
        ("canary", {"state": State.PLANNED}, wish("abort"), ""),
        ("canary", {"paused": True}, wish("pause"), "paused already"),
        ("canary", {}, wish("resume"), "not paused"),
        ("canary, manual", {}, wish("resume"), ""),
        ("canary", {"paused": True}, wish("skip"), "resume it first"),
        ("canary", {}, wish("skip", winner="champion"), "belongs to conclude"),
        ("canary", {}, wish("conclude", winner="champion"), "no A/B test runs now"),
        ("ab_test", {}, wish("conclude"), "needs a winner"),
        ("ab_test", {"paused": True}, wish("conclude", winner="challenger"), "resume it first"),
        ("ab_test", {"paused": True}, wish("conclude", winner="champion"), ""),
        ("ab_test", {}, wish("conclude", winner="challenger"), ""),
    ],
)
def test_commands_that_do_not_fit_are_told(name, changes, command, problem):
    found = misfit(plan := plan_for(name), running(plan, **changes), command)
    assert (problem in found) if problem else found == ""
