"""What follows from an evaluation: held versions and their release, the anchor, and candidates whose champion changed."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import select

from include.lifecycle.cli import main
from include.lifecycle.database import transaction
from include.lifecycle.decisions.sweep import unclaimed
from include.lifecycle.registry.artefacts import model_version
from include.lifecycle.registry.promotion import promote
from include.lifecycle.registry.release import release_candidate
from include.lifecycle.results import Evaluation, PreparedData, RegisteredVersion
from include.lifecycle.rollout.planning.planning import plan_rollout
from include.lifecycle.runtime import RunContext
from include.lifecycle.spec import ModelSpec
from include.lifecycle.tables import candidates
from include.lifecycle.verdicts import Verdict
from tests.integration.registry_lab import Lab, lab_spec

pytestmark = pytest.mark.integration
DECAY = {"cause": "decay:roc_auc"}


@pytest.fixture
def lab(make_runtime, mlflow_server) -> Lab:
    spec = lab_spec(f"policy_{uuid4().hex[:8]}", evaluation={"margin": 0.02})
    return Lab(make_runtime(MODELOPS_MLFLOW_URL=mlflow_server), spec)


def blind(spec: ModelSpec) -> ModelSpec:
    """The same model, whose hold-outs are never large enough to tell."""
    return spec.model_copy(update={"evaluation": spec.evaluation.model_copy(update={"minimum_rows": 100_000})})


def train(lab: Lab, run_id: str, *, rows: int | None = None, **cause: str) -> tuple[PreparedData, Evaluation, RegisteredVersion]:
    lab.run_id = run_id
    prepared = lab.prepare()
    trained = lab.fit(prepared, rows=rows)
    evaluation = lab.evaluate(prepared, trained, **cause)
    return prepared, evaluation, lab.register(prepared, trained, evaluation)


def crown(lab: Lab, version: int) -> None:
    promote(lab.rt, lab.spec.name, version, reason="a test", key=f"{lab.spec.name}:{version}", actor="test")


def candidate(lab: Lab, version: int) -> dict[str, object]:
    mine = (candidates.c.model == lab.spec.name) & (candidates.c.version == version)
    with transaction(lab.rt.engine) as connection:
        return dict(connection.execute(select(candidates).where(mine)).mappings().one())


def plan(lab: Lab, run_id: str):
    return plan_rollout(lab.spec, lab.rt, RunContext(lab.spec.name, run_id, "plan_rollout"))


def named(evaluation: Evaluation, check: str) -> Verdict:
    return next(verdict for verdict in evaluation.verdicts if verdict.check == check)


def test_what_could_not_be_shown_better_waits_for_a_person(lab: Lab, monkeypatch) -> None:
    crown(lab, train(lab, "manual__1")[2].version)
    plan(lab, "deploy__1")
    doubtful = Lab(lab.rt, blind(lab.spec))
    _, evaluation, registered = train(doubtful, "signal__2", **DECAY)
    assert (evaluation.deployable, evaluation.held) == (False, True)
    assert registered.candidate_id is None
    assert candidate(lab, 2)["state"] == "held"
    assert plan(lab, "deploy__2").reason == "no candidate waits"
    gate = lab.rt.ledger.read(lab.spec.name, kind="gate")[0]
    assert gate["act"] == "hold for a person"
    command = ["release", lab.spec.name, "2", "--reason", "the season turns on Monday", "--by", "ada"]
    monkeypatch.setattr("include.lifecycle.runtime.build_runtime", lambda _settings: lab.rt)
    assert main(command) == 0
    assert candidate(lab, 2)["state"] == "open"
    assert lab.spec.name in unclaimed(lab.rt).candidates, "upkeep wakes the deploy Dag"
    (said,) = lab.rt.ledger.read(lab.spec.name, kind="approval")
    assert (said["actor"], said["reason"], said["version_after"]) == ("ada", "the season turns on Monday", 2)
    assert main(command) == 1
    assert plan(lab, "deploy__3").version == 2


def test_a_person_may_refuse_and_only_held_ones(lab: Lab) -> None:
    crown(lab, train(lab, "manual__1")[2].version)
    train(Lab(lab.rt, blind(lab.spec)), "signal__2", **DECAY)
    assert release_candidate(lab.rt, lab.spec.name, 2, by="ada", reason="no", refuse=True) is None
    assert candidate(lab, 2)["state"] == "refused"
    assert "is refused" in str(release_candidate(lab.rt, lab.spec.name, 2, by="ada", reason="yes"))
    assert "no candidate" in str(release_candidate(lab.rt, lab.spec.name, 9, by="ada", reason="yes"))


def test_the_anchor_is_the_last_version_that_was_proven_better(lab: Lab) -> None:
    _, first, one = train(lab, "manual__1")
    assert first.proven_better
    crown(lab, one.version)
    _, second, two = train(lab, "manual__2")
    assert "anchor" in second.switched_off, "the champion is the anchor"
    assert not second.proven_better, "the same again is not better"
    assert model_version(lab.rt, lab.spec.name, 2).tags["proven_better"] == "false"
    crown(lab, two.version)
    _, third, three = train(lab, "manual__3")
    verdict = named(third, "anchor:not_worse:roc_auc")
    assert (verdict.outcome, verdict.evidence["anchor_version"]) == ("pass", 1)
    crown(lab, three.version)
    _, weak, _ = train(lab, "manual__4", rows=150)
    assert named(weak, "anchor:not_worse:roc_auc").outcome == "fail"
    off = lab.spec.model_copy(update={"evaluation": lab.spec.evaluation.model_copy(update={"anchor": "off"})})
    _, unasked, _ = train(Lab(lab.rt, off), "manual__5")
    assert unasked.switched_off["anchor"] == "evaluation.anchor is off"


def test_a_better_version_becomes_the_anchor(lab: Lab) -> None:
    crown(lab, train(lab, "manual__1", rows=300)[2].version)
    _, better, two = train(lab, "manual__2")
    assert better.proven_better
    crown(lab, two.version)
    _, third, three = train(lab, "manual__3")
    crown(lab, three.version)
    assert "anchor" in third.switched_off
    _, fourth, _ = train(lab, "manual__4")
    assert named(fourth, "anchor:not_worse:roc_auc").evidence["anchor_version"] == 2


def test_a_candidate_is_judged_again_when_the_champion_changed(lab: Lab) -> None:
    crown(lab, train(lab, "manual__1", rows=150)[2].version)
    plan(lab, "deploy__1")
    _, evaluation, weak = train(lab, "manual__2", rows=200)
    assert evaluation.deployable, evaluation.reason
    assert candidate(lab, weak.version)["evidence"]["champion"] == 1
    _, _, strong = train(lab, "manual__3")
    crown(lab, strong.version)
    with transaction(lab.rt.engine) as connection:
        connection.execute(candidates.update().where(candidates.c.version == strong.version).values(state="done"))
    planned = plan(lab, "deploy__2")
    assert (planned.rollout_id, planned.reason) == (None, "no candidate waits")
    row = candidate(lab, weak.version)
    assert (row["state"], row["evidence"]["champion"]) == ("refused", 3)
    gate = lab.rt.ledger.read(lab.spec.name, kind="gate")[0]
    assert (gate["act"], gate["version_before"], gate["version_after"]) == ("refuse a rollout", 3, 2)
    assert "judged again, since the champion is version 3 and no longer 1" in gate["reason"]
    checks = {one["check"]: one["outcome"] for one in gate["evidence"]["verdicts"]}
    assert checks["champion:not_worse:roc_auc"] == "fail"
    assert checks["floor"] == evaluation_outcome(evaluation, "floor"), "what the champion has no part in stands"
    again = len(lab.rt.ledger.read(lab.spec.name, kind="gate"))
    plan(lab, "deploy__2")
    assert len(lab.rt.ledger.read(lab.spec.name, kind="gate")) == again


def evaluation_outcome(evaluation: Evaluation, check: str) -> str:
    return named(evaluation, check).outcome.value


def test_one_that_holds_against_the_new_champion_is_planned_against_it(lab: Lab) -> None:
    crown(lab, train(lab, "manual__1")[2].version)
    plan(lab, "deploy__1")
    train(lab, "manual__2")
    good = train(lab, "manual__3")[2]
    crown(lab, 2)
    planned = plan(lab, "deploy__2")
    assert (planned.version, planned.champion) == (good.version, 2)


def test_without_its_holdout_a_stale_candidate_cannot_be_told(lab: Lab) -> None:
    crown(lab, train(lab, "manual__1")[2].version)
    plan(lab, "deploy__1")
    train(lab, "manual__2")
    prepared, _, last = train(lab, "manual__3")
    prepared.holdout.unlink()
    crown(lab, 2)
    strict = lab.spec.evaluation.on_inconclusive.model_copy(update={"not_worse": "hold"})
    lab = replace(
        lab, spec=lab.spec.model_copy(update={"evaluation": lab.spec.evaluation.model_copy(update={"on_inconclusive": strict})})
    )
    plan(lab, "deploy__2")
    assert candidate(lab, last.version)["state"] == "held"
    assert "is gone" in str(candidate(lab, last.version)["evidence"]["reason"])


def demanding(spec: ModelSpec) -> ModelSpec:
    """The same model with every gate that compares with the champion."""
    agreed = "CASE WHEN decision = label THEN 1.0 ELSE 0.0 END"
    business = {"act": "fail", "expression": agreed, "function": None, "direction": "higher", "aggregate": "mean"}
    slices = [{"name": "newark", "where": "airport = 'EWR'"}]
    gates = {"margin": 0.02, "slices": slices, "business": business | {"margin": 0.05, "floor": 0.3}}
    return lab_spec(spec.name, evaluation=gates)


def last_verdicts(lab: Lab) -> dict[str, Verdict]:
    """What the newest gate entry of the ledger rests on."""
    evidence = lab.rt.ledger.read(lab.spec.name, kind="gate")[0]["evidence"]
    return {one["check"]: Verdict.model_validate(one) for one in evidence["verdicts"]}


def test_every_gate_that_asks_a_rival_is_run_anew_against_the_new_champion(lab: Lab) -> None:
    lab = replace(lab, spec=demanding(lab.spec))
    crown(lab, train(lab, "manual__1")[2].version)
    plan(lab, "deploy__1")
    _, evaluation, second = train(lab, "manual__2", rows=3000)
    assert named(evaluation, "slice:newark").evidence["champion_version"] == 1
    assert "anchor" in evaluation.switched_off, "version 1 is champion and anchor"
    _, same, third = train(lab, "manual__3")
    assert not same.proven_better
    crown(lab, third.version)
    with transaction(lab.rt.engine) as connection:
        connection.execute(candidates.update().where(candidates.c.version == third.version).values(state="done"))
    plan(lab, "deploy__2")
    verdicts = last_verdicts(lab)
    for check in ("champion:not_worse:roc_auc", "action_rate", "slice:newark", "business:champion"):
        assert verdicts[check].evidence["champion_version"] == 3, check
    assert verdicts["anchor:not_worse:roc_auc"].evidence["anchor_version"] == 1
    assert {"slice_search", "slice_search:champion", "business:floor"} <= set(verdicts)
    assert len(lab.rt.ledger.read(lab.spec.name, kind="gate")[0]["evidence"]["verdicts"]) == len(verdicts), "none is told twice"
    assert verdicts["floor"] == named(evaluation, "floor")
    assert candidate(lab, second.version)["evidence"]["champion"] == 3


def test_a_slice_that_the_new_champion_serves_better_stops_a_candidate(lab: Lab) -> None:
    limits = {"act": "fail", "max_drop": 0.0, "minimum_rows": 100}
    slices = [{"name": "long", "where": "distance > 300"}]
    lab = replace(lab, spec=lab_spec(lab.spec.name, evaluation={"margin": 0.02, "slices": slices, "slice_limits": limits}))
    crown(lab, train(lab, "manual__1", rows=150)[2].version)
    plan(lab, "deploy__1")
    _, evaluation, weak = train(lab, "manual__2", rows=200)
    assert not named(evaluation, "slice:long").failed
    _, _, strong = train(lab, "manual__3")
    crown(lab, strong.version)
    with transaction(lab.rt.engine) as connection:
        connection.execute(candidates.update().where(candidates.c.version == strong.version).values(state="done"))
    plan(lab, "deploy__2")
    assert last_verdicts(lab)["slice:long"].failed
    assert candidate(lab, weak.version)["state"] == "refused"


def test_what_was_proven_against_the_former_champion_is_not_proven_against_the_new_one(lab: Lab) -> None:
    crown(lab, train(lab, "manual__1", rows=300)[2].version)
    plan(lab, "deploy__1")
    _, better, second = train(lab, "manual__2")
    assert better.proven_better
    assert model_version(lab.rt, lab.spec.name, second.version).tags["proven_better"] == "true"
    third = train(lab, "manual__3")[2]
    crown(lab, third.version)
    with transaction(lab.rt.engine) as connection:
        connection.execute(candidates.update().where(candidates.c.version == third.version).values(state="done"))
    planned = plan(lab, "deploy__2")
    assert (planned.version, planned.champion) == (second.version, 3)
    assert model_version(lab.rt, lab.spec.name, second.version).tags["proven_better"] == "false", (
        "as good as version 3, not better"
    )


def test_without_its_holdout_nothing_measured_against_the_former_champion_stands(lab: Lab) -> None:
    lab = replace(lab, spec=demanding(lab.spec))
    crown(lab, train(lab, "manual__1", rows=300)[2].version)
    plan(lab, "deploy__1")
    prepared, evaluation, second = train(lab, "manual__2")
    third = train(lab, "manual__3")[2]
    prepared.holdout.unlink()
    crown(lab, third.version)
    with transaction(lab.rt.engine) as connection:
        connection.execute(candidates.update().where(candidates.c.version == third.version).values(state="done"))
    plan(lab, "deploy__2")
    verdicts = last_verdicts(lab)
    for check in ("champion", "action_rate", "slice:newark", "business:champion", "slice_search:champion"):
        assert (verdicts[check].outcome, "is gone" in verdicts[check].reason) == ("inconclusive", True), check
    for check in ("business:floor", "slice_search", "floor"):
        assert verdicts[check] == named(evaluation, check)
    assert model_version(lab.rt, lab.spec.name, second.version).tags["proven_better"] == "false"
