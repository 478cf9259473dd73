"""The signals of a replay follow the rules that monitoring follows: opened, kept as one, resolved, spent, counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.lifecycle.decisions.facts import AGE
from include.lifecycle.monitoring.signals import standings
from include.lifecycle.monitoring.windows import Window
from include.lifecycle.simulation.book import Book
from include.lifecycle.spec import ModelSpec
from include.lifecycle.verdicts import Outcome, Verdict
from tests.unit.lifecycle.training.spec_for_tests import make_spec

START = datetime(2013, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CAUSE = "decay:roc_auc"


@pytest.fixture
def spec() -> ModelSpec:
    return make_spec(retraining={"confirm": {"windows": 2, "of": 4, "spanning": "1d"}, "max_age": "30d"})


def seen(spec: ModelSpec, outcomes: str, effect: float = 0.2):
    """One window a day: p, f or i (inconclusive)."""
    named = {"p": Outcome.PASS, "f": Outcome.FAIL, "i": Outcome.INCONCLUSIVE}
    history = [
        (
            Window(START + day * DAY, START + (day + 1) * DAY),
            [Verdict(check=CAUSE, outcome=named[sign], reason="a test", evidence={"effect": effect, "severity": "act"})],
        )
        for day, sign in enumerate(outcomes)
    ]
    return standings(history, spec.retraining.confirm)


def test_a_cause_is_one_signal_from_its_first_failure_until_it_is_healthy(spec: ModelSpec) -> None:
    book = Book(spec)
    assert book.refresh(1, seen(spec, "pp")) == []
    assert [change[:2] for change in book.refresh(1, seen(spec, "ppf"))] == [("opened", CAUSE)]
    assert book.refresh(1, seen(spec, "ppff")) == []
    view = book.opened[CAUSE]
    assert (view.windows_failed, view.spanning, view.id) == (2, 2 * DAY, 1)
    assert book.refresh(1, seen(spec, "ppffi")) == []
    assert book.refresh(1, seen(spec, "ppffp")) == []  # two of the last four failed: it flickers
    assert [change[0] for change in book.refresh(1, seen(spec, "ppffppp"))] == ["resolved"]
    assert book.opened == {}


def test_another_version_ends_the_signals_of_the_one_before(spec: ModelSpec) -> None:
    book = Book(spec)
    book.refresh(1, seen(spec, "ff"))
    assert book.refresh(2, []) == [("resolved", CAUSE, "version 2 took over from version 1")]


def test_a_cause_is_spent_for_the_version_that_was_trained_for_it(spec: ModelSpec) -> None:
    book, now = Book(spec), START + 5 * DAY
    book.refresh(1, seen(spec, "ff"))
    book.accept([book.opened[CAUSE].id], now)
    book.trainings.append(now)
    book.ended(promoted=False, for_signal=True)
    book.refresh(1, seen(spec, "fff", effect=0.25))
    state = book.state(1, now)
    assert (state.spent, state.fruitless, state.last_request_at, state.trainings_this_month) == ({CAUSE: 0.2}, 1, now, 1)
    assert book.state(1, START + 40 * DAY).trainings_this_month == 0
    book.refresh(2, [])
    book.refresh(2, seen(spec, "ff"))
    book.ended(promoted=True, for_signal=True)
    assert (book.state(2, now).spent, book.state(2, now).fruitless) == ({}, 0)


def test_age_is_a_fact_with_its_own_bar(spec: ModelSpec) -> None:
    book = Book(spec)
    assert book.look_at_age(1, 30 * DAY) == []
    assert [change[:2] for change in book.look_at_age(1, 31 * DAY)] == [("opened", AGE)]
    assert book.look_at_age(1, 45 * DAY) == []
    assert book.opened[AGE].effect == pytest.approx(1.5)
    assert [change[0] for change in book.look_at_age(2, DAY)] == ["resolved"]
