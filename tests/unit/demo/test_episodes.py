"""Episodes play the year again without event time ever going back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.demo.episodes import FIRST_CUT, Episode, next_episode


def test_first_episode_plays_the_year_as_it_was():
    assert Episode(1).cut == FIRST_CUT
    assert Episode(1).shift == timedelta(0)
    assert Episode(1).end == datetime(2013, 12, 31, tzinfo=UTC)


def test_each_episode_starts_on_the_same_weekday_after_the_former_ended():
    for number in range(1, 12):
        earlier, later = Episode(number), Episode(number + 1)
        assert later.cut > earlier.end
        assert later.cut.weekday() == earlier.cut.weekday()


@pytest.mark.parametrize(
    ("latest", "number"),
    [
        (None, 1),
        (datetime(2013, 8, 1, tzinfo=UTC), 1),
        (FIRST_CUT, 1),
        (FIRST_CUT + timedelta(seconds=1), 2),
        (datetime(2013, 11, 3, tzinfo=UTC), 2),
        (datetime(2029, 1, 1, tzinfo=UTC), 17),
    ],
)
def test_next_episode_never_starts_before_what_was_seen(latest: datetime | None, number: int):
    episode = next_episode(latest)
    assert episode.number == number
    assert latest is None or episode.cut >= latest
