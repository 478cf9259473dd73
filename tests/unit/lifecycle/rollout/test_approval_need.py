"""Who must approve: the stricter of risk and change, seats for everybody but the requester; and how large a change is."""

from __future__ import annotations

import pytest

from include.lifecycle.rollout.approving.change_size import Change, change_between
from include.lifecycle.rollout.approving.need import LEVELS, approval_need

TAGS = {"interface_hash": "i", "training_hash": "t", "algorithm": "logistic_regression", "metric": "roc_auc", "method": "full"}


@pytest.fixture
def with_rules(spec):
    """The spec with another risk and other approval settings: `with_rules("high", committee=[...])`."""

    def change(risk, **settings):
        approval = spec.approval.model_copy(update=settings)
        return spec.model_copy(update={"risk": risk, "approval": approval})

    return change


@pytest.mark.parametrize(
    ("changed", "size", "differs"),
    [
        ({}, "small", []),
        ({"method": "incremental"}, "small", []),
        ({"snapshot_id": "another"}, "small", []),
        ({"algorithm": "random_forest"}, "medium", ["the algorithm"]),
        ({"training_hash": "u"}, "medium", ["the rules of training"]),
        ({"interface_hash": "j", "algorithm": "x"}, "large", ["task, target, features or feature code", "the algorithm"]),
        ({"metric": "log_loss"}, "large", ["the objective's metric"]),
        ({"method": "entry_point"}, "large", ["the way of training"]),
    ],
)
def test_the_size_of_a_change_follows_from_facts(changed, size, differs):
    found = change_between(TAGS, TAGS | changed)
    assert (found.size, found.differs) == (size, differs)


def test_a_tag_that_only_one_version_has_counts_as_different():
    bare = {name: value for name, value in TAGS.items() if name != "interface_hash"}
    assert change_between(bare, TAGS).size == "large"
    assert change_between(bare, bare).size == "small"


@pytest.mark.parametrize("risk", ["low", "medium", "high"])
@pytest.mark.parametrize("size", ["small", "medium", "large", None])
def test_the_stricter_of_risk_and_change_counts(with_rules, risk, size):
    given = with_rules(risk, committee=["ann", "bob", "cid"])
    change = None if size is None else Change(size=size)
    by_risk = {"low": "none", "medium": "team", "high": "committee"}[risk]
    by_change = {"small": "team", "medium": "lead", "large": "committee", None: "none"}[size]
    wanted = by_risk if risk == "low" else max(by_risk, by_change, key=LEVELS.index)
    need = approval_need(given, [], change)
    assert need.level == wanted
    assert f"risk {risk}" in need.why
    assert len(need.seats) == {"none": 0, "team": 1, "lead": 1, "committee": 3}[wanted]


def test_the_change_counts_for_low_risk_too_where_the_yaml_says_so(with_rules):
    given = with_rules("low", change_counts_from="low")
    assert approval_need(given, [], Change(size="medium", differs=["the algorithm"])).level == "lead"
    assert approval_need(given, [], None).level == "none"


def test_the_requester_has_no_seat(with_rules):
    given = with_rules("high", committee=["ann", "bob", "cid"])
    need = approval_need(given, ["bob", "airflow:decide"], None)
    assert [(seat.number, seat.users) for seat in need.seats] == [(1, ["ann"]), (2, ["cid"])]
    assert (need.quorum, need.problem) == (2, "")
    assert need.told == "2 of 2 members of the committee must approve (risk high): ann, cid"


def test_a_quorum_that_only_requesters_could_make_is_a_problem(with_rules):
    need = approval_need(with_rules("high", committee=["ann", "bob"]), ["bob"], None)
    assert "only 1 of them did not ask for the training" in need.problem
    need = approval_need(with_rules("medium", team=["bob"]), ["bob"], None)
    assert (need.seats, "only 0 of them" in need.problem) == ([], True)


def test_a_team_without_names_is_anyone_and_a_committee_without_names_a_seat_for_each_yes(with_rules):
    assert [seat.label for seat in approval_need(with_rules("medium"), ["bob"], None).seats] == ["anyone"]
    need = approval_need(with_rules("medium"), [], Change(size="large"))
    assert ([seat.label for seat in need.seats], need.quorum) == (["anyone", "anyone"], 2)
