"""Episodes of the demo: where event time starts, and how the one year of data is played again without time ever going back.

Episode 1 plays 2013 as it was. Episode n plays the same year moved on by n-1 times 52 weeks (weekdays stay), so that versions,
ledger, budgets and the prediction log of former episodes keep their order. data.py and main.py read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FIRST_CUT = datetime(2013, 8, 15, tzinfo=UTC)
_YEAR = timedelta(weeks=52)
_LENGTH = timedelta(days=138)  # from the cut to the last flight of the data, 31 December


@dataclass(frozen=True)
class Episode:
    """One playing of the year; `number` counts from 1."""

    number: int

    @property
    def shift(self) -> timedelta:
        """How far the data's times are moved on: whole weeks."""
        return (self.number - 1) * _YEAR

    @property
    def cut(self) -> datetime:
        """The event time at which the episode starts: what lies before is history, the rest is brought by the replay."""
        return FIRST_CUT + self.shift

    @property
    def end(self) -> datetime:
        """No flight leaves after this moment of event time."""
        return self.cut + _LENGTH


def next_episode(latest: datetime | None) -> Episode:
    """The first episode that starts not before `latest`, the newest event time that anything has seen (None: nothing ran)."""
    number = 1
    while latest is not None and Episode(number).cut < latest:
        number += 1
    return Episode(number)
