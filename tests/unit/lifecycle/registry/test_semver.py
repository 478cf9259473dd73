"""The rule of semantic versions and the legal movements of stages."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lifecycle.errors import GateFailedError
from include.lifecycle.loading import load_model
from include.lifecycle.registry.semver import (
    CHANGE_TAG,
    FIRST,
    INTERFACE_TAG,
    RULES_TAG,
    SEMVER_TAG,
    Semver,
    interface_hash,
    newest_numbered,
    next_semver,
    read_semver,
    training_hash,
)
from include.lifecycle.registry.stages import (
    ARCHIVED,
    MOVEMENTS,
    NO_STAGE,
    PRODUCTION,
    STAGING,
    check_movement,
    stage_after,
)

BASE = {SEMVER_TAG: "2.3.4", INTERFACE_TAG: "i", RULES_TAG: "r", "snapshot_id": "s", "algorithm": "a"}


@pytest.mark.parametrize(
    ("change", "number", "word"),
    [
        ({}, "2.3.5", "patch"),
        ({"snapshot_id": "other"}, "2.4.0", "training data"),
        ({"algorithm": "other"}, "2.4.0", "algorithm"),
        ({RULES_TAG: "other"}, "2.4.0", "rules of training"),
        ({INTERFACE_TAG: "other", "snapshot_id": "other"}, "3.0.0", "major"),
    ],
)
def test_the_number_follows_from_what_changed(change: dict[str, str], number: str, word: str) -> None:
    found, said = next_semver(BASE, BASE | change)
    assert str(found) == number
    assert word in said


def test_the_first_number_and_versions_without_one() -> None:
    assert next_semver(None, BASE) == (FIRST, "the first version")
    assert next_semver({"algorithm": "a"}, BASE)[0] == FIRST
    assert newest_numbered([{"algorithm": "a"}]) is None
    assert newest_numbered([BASE, BASE | {SEMVER_TAG: "10.0.0"}, BASE | {SEMVER_TAG: "9.9.9"}]) == BASE | {SEMVER_TAG: "10.0.0"}


@given(st.tuples(*[st.integers(0, 10**9)] * 3))
def test_numbers_are_read_as_they_are_written(parts: tuple[int, int, int]) -> None:
    assert read_semver(str(Semver(*parts))) == Semver(*parts)


@pytest.mark.parametrize("text", ["", "1", "1.2", "01.2.3", "1.2.3-rc1", "v1.2.3", None])
def test_what_is_no_number_is_none(text: str | None) -> None:
    assert read_semver(text) is None


@given(st.lists(st.sampled_from([{}, {"snapshot_id": "x"}, {"algorithm": "x"}, {INTERFACE_TAG: "x"}]), max_size=12))
def test_numbers_only_ever_rise(changes: list[dict[str, str]]) -> None:
    history: list[dict[str, str]] = []
    for index, change in enumerate(changes):
        tags = {name: value + str(index) for name, value in change.items()}
        tags = {INTERFACE_TAG: "i", RULES_TAG: "r", "snapshot_id": "s", "algorithm": "a"} | tags
        number, said = next_semver(newest_numbered(history), tags)
        history.append(tags | {SEMVER_TAG: str(number), CHANGE_TAG: said})
    numbers = [read_semver(tags[SEMVER_TAG]) for tags in history]
    assert all(one < two for one, two in itertools.pairwise(numbers))  # type: ignore[operator]


def test_hashes_see_what_they_should_see() -> None:
    spec = load_model("flight_delay")
    renamed = spec.model_copy(update={"features": spec.features.model_copy(update={"numeric": spec.features.numeric[1:]})})
    reordered = spec.model_copy(update={"features": spec.features.model_copy(update={"numeric": spec.features.numeric[::-1]})})
    assert interface_hash(spec) == interface_hash(reordered) != interface_hash(renamed)
    assert interface_hash(spec) != interface_hash(spec, "digest of feature code")
    other_owner = spec.model_copy(update={"owner": "somebody else"})
    other_trials = spec.model_copy(update={"training": spec.training.model_copy(update={"trials": 99})})
    assert training_hash(spec) == training_hash(other_owner) != training_hash(other_trials)


def test_every_movement_is_legal_or_refused() -> None:
    stages = (NO_STAGE, STAGING, PRODUCTION, ARCHIVED)
    for before, after in itertools.product(stages, repeat=2):
        if before == after or (before, after) in MOVEMENTS:
            check_movement("m", 1, before, after)
        else:
            with pytest.raises(GateFailedError, match=f"from stage {before} to {after}; allowed: "):
                check_movement("m", 1, before, after)
    assert (PRODUCTION, ARCHIVED) not in MOVEMENTS
    assert (ARCHIVED, NO_STAGE) not in MOVEMENTS


@pytest.mark.parametrize(
    ("aliases", "before", "after"),
    [
        ({"champion": 1, "challenger": 1}, NO_STAGE, PRODUCTION),
        ({"previous": 1}, PRODUCTION, STAGING),
        ({"champion": 2}, STAGING, NO_STAGE),
        ({"champion": 2}, ARCHIVED, ARCHIVED),
        ({"shadow": 1}, ARCHIVED, STAGING),
    ],
)
def test_stages_follow_aliases(aliases: dict[str, int], before: str, after: str) -> None:
    assert stage_after(aliases, 1, before) == after
