"""Planning an A/A test: who may have one, what is agreed, the same run twice."""

from include.lifecycle.rollout.driver import outcome_of
from include.lifecycle.rollout.experiments.aa import passed_aa_test, plan_aa_test
from include.lifecycle.rollout.states import Plan
from include.lifecycle.rollout.ways_back.rollback_notes import note


def test_it_plans_the_champion_against_itself(rt, world, spec, run, row_of):
    planned = plan_aa_test(spec, rt, run, reason="trust", hands=world.hands())
    assert (planned.version, planned.champion, planned.strategy) == (7, 7, "aa_test")
    assert plan_aa_test(spec, rt, run, reason="trust", hands=world.hands()).rollout_id == planned.rollout_id
    plan = Plan.model_validate(row_of(planned.rollout_id)["plan"])
    (stage,) = plan.stages
    assert (stage.kind, stage.percent, stage.baseline, stage.must_pass) == ("ab_test", 0, 10, ("experiment",))
    assert plan.ab_test == spec.rollout.ab_test
    assert plan.weights_at(0) == {7: 100}
    (entry,) = [row for row in rt.ledger.read("churn") if row["act"] == "plan A/A test"]
    assert "trust" in entry["reason"]
    again = run.__class__(model="churn", run_id="manual__2", task="plan_aa_test")
    second = plan_aa_test(spec, rt, again, reason="trust", hands=world.hands())
    assert (second.rollout_id, second.reason) == (None, f"rollout {planned.rollout_id} is open (planned)")


def test_without_a_champion_there_is_nothing_to_compare(rt, world, spec, run):
    world.aliases.clear()
    planned = plan_aa_test(spec, rt, run, reason="trust", hands=world.hands())
    assert (planned.rollout_id, planned.reason) == (None, "there is no champion to compare with itself")


def test_only_a_concluded_test_that_passed_has_passed(rt, world, open_rollout, row_of):
    aborted = outcome_of(row_of(open_rollout()))
    assert not passed_aa_test(rt, aborted)
    assert not passed_aa_test(rt, aborted.model_copy(update={"state": "concluded"}))  # nothing in the ledger says so


def test_a_rollback_that_is_under_way_goes_first(rt, world, spec, run):
    going = run.__class__(model="churn", run_id="back-1", task="roll_back")
    note(rt, going, "churn", (7, 6), "intended", "wrong prices")
    planned = plan_aa_test(spec, rt, run, reason="trust", hands=world.hands())
    assert (planned.rollout_id, planned.reason) == (None, "a rollback is under way: roll back to 6 (airflow:roll_back)")
    note(rt, going, "churn", (7, 6), "done", "wrong prices")
    assert plan_aa_test(spec, rt, run, reason="trust", hands=world.hands()).rollout_id is not None
