"""Asking, voting, expiry, and the look at every gate after the approval, on a real database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select, text

from include.lifecycle.database import transaction
from include.lifecycle.errors import ArtefactDigestError, GateFailedError
from include.lifecycle.ledger import Entry
from include.lifecycle.results import PlannedRollout
from include.lifecycle.rollout.approving.approval import ask_approval, confirm_approval, look, vote
from include.lifecycle.tables import candidates, freezes, ledger
from include.lifecycle.verdicts import Outcome
from tests.unit.lifecycle.rollout.test_approval_need import TAGS


def planned_of(rollout_id):
    return PlannedRollout(rollout_id=rollout_id, model="churn", version=8, champion=7, strategy="canary", reason="")


@pytest.fixture
def poll(rt, world, spec, run, open_rollout):
    """A rollout that is asked about: `poll(risk=..., **settings of approval)` gives its hands."""

    class Poll:
        def __init__(
            self,
            *,
            risk="high",
            requested_by=("ada",),
            tags=None,
            committee=("ann", "bob", "cid"),
            on_new_candidate="wait",
            **settings,
        ):
            self.rollout_id = open_rollout(requested_by=list(requested_by), risk=risk, on_new_candidate=on_new_candidate)
            approval = spec.approval.model_copy(update={"committee": list(committee)} | settings)
            self.spec = spec.model_copy(update={"risk": risk, "approval": approval})
            self.planned, self.tags = planned_of(self.rollout_id), tags or {7: TAGS, 8: TAGS}

        def ask(self):
            tags_of = lambda rt, model, version: self.tags[version]  # noqa: E731
            return ask_approval(self.spec, rt, run, self.planned, hands=world.hands(), tags_of=tags_of)

        def vote(self, seat, by, *, yes=True, comment=""):
            return vote(rt, run, self.rollout_id, seat, approved=yes, by=by, comment=comment, hands=world.hands())

        def confirm(self, hands=None):
            return confirm_approval(self.spec, rt, run, self.planned, hands=hands or world.hands())

        def expire(self):
            with transaction(rt.engine) as connection:  # the ledger is append-only: the test's superuser may still
                connection.execute(text("SET LOCAL session_replication_role = replica"))
                late = {"key": f"rollout:{self.rollout_id}:approval:asked"}
                connection.execute(
                    text("UPDATE ledger SET wall_at = wall_at - interval '73 hours' WHERE idempotency_key = :key"), late
                )

    return Poll


def said(rt, act):
    return [row for row in rt.ledger.read("churn", kind="approval") if row["act"] == act]


def candidate_state(rt):
    with transaction(rt.engine) as connection:
        return connection.execute(select(candidates.c.state).where(candidates.c.version == 8)).scalar_one()


def test_nobody_is_asked_at_low_risk_and_the_gates_are_looked_at_all_the_same(rt, poll, row_of):
    asked = poll(risk="low", tags={7: TAGS, 8: TAGS | {"interface_hash": "another"}})
    assert asked.ask() == []
    assert asked.confirm().approved
    assert row_of(asked.rollout_id)["state"] == "planned"
    assert [row["act"] for row in rt.ledger.read("churn", kind="gate")] == ["check again before traffic"]
    assert said(rt, "ask nobody")[0]["reason"] == "nobody need approve (risk low)"


def test_a_quorum_of_the_committee_lets_it_out(rt, poll):
    asked = poll()
    assert [seat.users for seat in asked.ask()] == [["ann"], ["bob"], ["cid"]]
    assert asked.vote(1, "ann", comment="read it").result == "open"
    assert asked.vote(2, "bob", yes=False).result == "open"
    ballot = asked.vote(3, "cid")
    assert (ballot.result, ballot.over) == ("approved", True)
    done = asked.confirm()
    assert (done.approved, done.reason) == (True, "ann approved: read it; bob refused; cid approved")
    assert [(row["actor"], row["verdict"]) for row in rt.ledger.read("churn", kind="approval")] == [
        ("cid", "pass"),
        ("bob", "fail"),
        ("ann", "pass"),
        ("airflow:plan_rollout", None),
    ]


def test_noes_that_make_a_quorum_impossible_refuse_at_once(rt, poll, row_of):
    asked = poll()
    asked.ask()
    asked.vote(1, "ann", yes=False)
    assert row_of(asked.rollout_id)["state"] == "planned"
    asked.vote(2, "bob", yes=False, comment="not now")
    row = row_of(asked.rollout_id)
    assert (row["state"], row["reason"]) == ("refused", "ann refused; bob refused: not now")
    assert look(rt, asked.rollout_id).over
    late = asked.vote(3, "cid")
    assert len(late.votes) == 2
    assert not asked.confirm().approved
    assert candidate_state(rt) == "done"


def test_an_answer_twice_is_one_vote(rt, poll):
    asked = poll()
    asked.ask()
    asked.ask()
    asked.vote(1, "ann")
    ballot = asked.vote(1, "ann")
    assert len(ballot.votes) == len(said(rt, "approve rollout")) == len(said(rt, "ask for approval")) == 1


def test_each_person_counts_once_where_anyone_may_answer(rt, poll):
    asked = poll(risk="medium", committee=(), tags={7: TAGS, 8: TAGS | {"interface_hash": "another"}})
    assert [seat.users for seat in asked.ask()] == [[], []]
    asked.vote(1, "ann")
    assert asked.vote(2, "ann").result == "open"
    assert "each person counts once" in said(rt, "disregard an answer")[0]["reason"]
    assert asked.vote(2, "ada").result == "open"
    assert "ada asked for this training and may not approve it" in said(rt, "disregard an answer")[0]["reason"]
    assert asked.vote(2, "bob").result == "approved"


def test_the_requester_may_say_no(poll, row_of):
    asked = poll(risk="medium")
    asked.ask()
    asked.vote(1, "ada", yes=False)
    assert row_of(asked.rollout_id)["state"] == "refused"


def test_nobody_sits_in_anothers_place(rt, poll):
    asked = poll()
    asked.ask()
    assert asked.vote(1, "bob").votes == []
    assert "bob is not among ann" in said(rt, "disregard an answer")[0]["reason"]


@pytest.mark.parametrize(
    ("votes", "reason"),
    [([], "nobody answered in time"), (["ann"], "ann approved; 1 of 2 needed approvals came in time")],
)
def test_no_quorum_in_time_is_a_refusal(rt, poll, row_of, votes, reason):
    asked = poll()
    asked.ask()
    for by in votes:
        asked.vote(1, by)
    assert not look(rt, asked.rollout_id).over
    asked.expire()
    assert look(rt, asked.rollout_id).over
    assert len(asked.vote(2, "bob").votes) == len(votes)
    assert not asked.confirm().approved
    assert (row_of(asked.rollout_id)["state"], row_of(asked.rollout_id)["reason"]) == ("refused", reason)


@pytest.mark.parametrize(("policy", "replaced"), [("wait", False), ("replace", True)])
def test_a_newer_candidate_ends_the_question_where_the_yaml_says_so(rt, poll, row_of, policy, replaced):
    asked = poll(on_new_candidate=policy)
    asked.ask()
    asked.vote(1, "ann")
    newer = {"model": "churn", "version": 9, "verdict": "pass", "created_at": rt.clock.now()}
    with transaction(rt.engine) as connection:
        connection.execute(candidates.insert().values(newer))
    assert look(rt, asked.rollout_id).over is replaced
    if replaced:
        assert not asked.confirm().approved
        assert row_of(asked.rollout_id)["reason"] == "ann approved; version 9 is newer and replaces it"


def test_a_rollout_that_nobody_may_approve_is_refused_when_asked(poll, row_of):
    asked = poll(committee=("ada", "bob"))
    with pytest.raises(GateFailedError, match="only 1 of them did not ask"):
        asked.ask()
    assert row_of(asked.rollout_id)["state"] == "refused"


def approved(poll, **given):
    asked = poll(**given)
    asked.ask()
    asked.vote(1, "ann")
    asked.vote(2, "bob")
    return asked


def test_an_approval_does_not_count_when_the_champion_changed(rt, poll, world, row_of):
    asked = approved(poll)
    world.aliases["champion"] = 6
    done = asked.confirm()
    assert not done.approved
    told = "the approval does not count: the champion is version 6; the plan was made against 7"
    assert row_of(asked.rollout_id)["reason"] == told
    assert candidate_state(rt) == "open"  # judged against 6 and asked about anew
    assert not asked.confirm().approved
    acts = [
        row["act"]
        for row in rt.ledger.read("churn")
        if (row["idempotency_key"] or "").startswith(f"rollout:{asked.rollout_id}:again")
    ]
    assert acts == ["candidate waits again", "check again before traffic"]


def test_the_candidate_waits_again_also_when_the_task_died_in_between(rt, poll, world, monkeypatch):
    asked = approved(poll)
    world.aliases["champion"] = 6
    with monkeypatch.context() as patched:
        patched.setattr(
            "include.lifecycle.rollout.approving.approval.reopen", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            asked.confirm()
    assert candidate_state(rt) == "done"
    asked.confirm()
    assert candidate_state(rt) == "open"


def test_a_freeze_stops_what_was_approved(rt, poll, row_of):
    asked = approved(poll)
    with transaction(rt.engine) as connection:
        row = {"model": "*", "reason": "audit", "by": "eve", "at": rt.clock.now()}
        connection.execute(freezes.insert().values(row))
    assert "everything is frozen since 2013-08-01 00:00 UTC by eve: audit" in asked.confirm().reason
    assert candidate_state(rt) == "open"


@pytest.mark.parametrize("state", ["superseded", "refused", "done"])
def test_a_candidate_that_is_nobodys_any_more_stops_it(rt, poll, state):
    asked = approved(poll)
    with transaction(rt.engine) as connection:
        connection.execute(candidates.update().values(state=state))
    with pytest.raises(GateFailedError, match=f"the candidate is {state}"):
        asked.confirm()
    assert candidate_state(rt) != "open"


def test_an_evaluation_against_another_champion_stops_it(rt, poll):
    asked = approved(poll)
    with transaction(rt.engine) as connection:
        connection.execute(candidates.update().values(evidence={"champion": 5}))
    assert "it was evaluated against another champion" in asked.confirm().reason
    assert candidate_state(rt) == "open"


def test_other_files_than_the_checked_ones_stop_it(rt, poll, world):
    asked = approved(poll)
    key = f"rollout:{asked.rollout_id}:serving:1:pass"
    checked = Entry(model="churn", kind="gate", act="check serving", reason="r", actor="t", verdict=Outcome.PASS)
    rt.ledger.write(checked.model_copy(update={"idempotency_key": key, "evidence": {"digest": "f" * 64}}))
    with pytest.raises(GateFailedError, match="when it was checked ffffffffffff"):
        asked.confirm()
    assert candidate_state(rt) == "done"


def test_damaged_files_stop_it(poll, world, row_of):
    asked = approved(poll)

    def damaged(rt, model, version):
        raise ArtefactDigestError("model.onnx differs from its manifest")

    with pytest.raises(GateFailedError, match="differs from its manifest"):
        asked.confirm(replace(world.hands(), materialise=damaged))
    assert row_of(asked.rollout_id)["state"] == "refused"


def test_what_people_are_shown(rt, poll, spec):
    asked = poll(tags={7: TAGS, 8: TAGS | {"algorithm": "random_forest"}})
    evidence = {
        "verdicts": [{"check": "floor", "outcome": "pass", "reason": "0.71 | above 0.6"}],
        "metrics": {"roc_auc": 0.7312, "roc_auc_lower": 0.71},
        "champion_metrics": {"roc_auc": 0.7101},
        "baseline_metrics": {"roc_auc": 0.5},
    }
    with transaction(rt.engine) as connection:
        connection.execute(candidates.update().values(run_id="train 1", evidence={"reason": "not worse than version 7"}))
    key = {"run_id": "train 1", "idempotency_key": "evaluate:churn:train 1:7", "evidence": evidence}
    rt.ledger.write(Entry(model="churn", kind="gate", act="allow a rollout", reason="r", actor="t", **key))
    asked.ask()
    ballot = look(rt, asked.rollout_id)
    assert ballot.subject == "Roll out version 8 of churn?"
    for part in (
        "2 of 3 members of the committee must approve (risk high, change medium: the algorithm changed): ann, bob, cid",
        "**Asked for by:** ada; who asked may not approve.",
        "Version 8, strategy canary, against champion 7.",
        "- Stage 1, 10 % of the traffic to the challenger.",
        "not worse than version 7",
        "| floor | pass | 0.71 \\| above 0.6 |",
        "| roc_auc | 0.7312 | 0.7101 | 0.5000 |",
        "/modelops/v1/models/churn/reports/evaluation-",
    ):
        assert part in ballot.body, ballot.body
    assert "roc_auc_lower" not in ballot.body


def test_nothing_is_asked_about_a_closed_rollout(rt, poll, world):
    asked = poll()
    with pytest.raises(GateFailedError, match="nobody was asked"):
        asked.vote(1, "ann")
    asked.ask()
    asked.vote(1, "ann", yes=False)
    asked.vote(2, "bob", yes=False)
    with pytest.raises(GateFailedError, match="is closed as refused"):
        asked.ask()
    with transaction(rt.engine) as connection:
        assert connection.execute(select(ledger.c.id).where(ledger.c.act == "ask for approval")).all()
