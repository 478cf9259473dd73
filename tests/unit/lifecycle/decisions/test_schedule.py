"""The tiers' crons and their words come from one place; a slot that nobody answered is found once, and only for known models."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.lifecycle.decisions.schedule import CRON, GRACE, WORDS, cron_of, last_slot, missed_slot, schedule_in_words
from include.lifecycle.wording import in_words
from tests.unit.lifecycle.monitoring.examples import make_spec

SUNDAY = datetime(2026, 11, 22, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_every_tier_has_a_cron_and_words():
    assert set(CRON) == set(WORDS) == {"primary", "secondary"}
    for tier, cron in CRON.items():
        assert cron_of(make_spec(tier=tier)) == cron
        assert WORDS[tier] in dict(in_words(make_spec(tier=tier)))["Training"]


@pytest.mark.parametrize(
    ("schedule", "cron", "words"),
    [("none", None, "by no schedule"), ("30 4 * * 1-5", "30 4 * * 1-5", "by the cron `30 4 * * 1-5`")],
)
def test_the_yaml_overrides_the_tier(schedule, cron, words):
    spec = make_spec(retraining={"schedule": schedule})
    assert cron_of(spec) == cron
    assert schedule_in_words(spec).startswith(words)


def test_the_last_slot_includes_now():
    assert last_slot("0 2 * * 0", SUNDAY) == SUNDAY
    assert last_slot("0 2 * * 0", SUNDAY - timedelta(seconds=1)) == SUNDAY - timedelta(days=7)


@pytest.mark.parametrize(
    ("first", "newest", "now", "missed"),
    [
        (SUNDAY - 100 * HOUR, SUNDAY - HOUR, SUNDAY + HOUR, SUNDAY),
        (SUNDAY - 100 * HOUR, SUNDAY - HOUR, SUNDAY + GRACE, SUNDAY),
        (SUNDAY - 100 * HOUR, SUNDAY - HOUR, SUNDAY + GRACE - timedelta(seconds=1), None),
        (SUNDAY - 100 * HOUR, SUNDAY, SUNDAY + HOUR, None),
        (SUNDAY + HOUR / 2, SUNDAY + HOUR / 2, SUNDAY + HOUR, None),
        (None, None, SUNDAY + HOUR, None),
    ],
)
def test_a_slot_is_missed_by_models_that_were_there_and_not_asked(first, newest, now, missed):
    assert missed_slot(make_spec(tier="primary"), first, newest, now) == missed
    assert missed_slot(make_spec(retraining={"schedule": "none"}), first, newest, now) is None
