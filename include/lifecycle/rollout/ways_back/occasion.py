"""What a rollback is asked for, and when it would hit a version that nobody complains of. Asked before it begins and, under the
model's lock, again before the champion goes: a driver may have been faster.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping

from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.rollout.hands import Hands
from include.lifecycle.rollout.lease import open_rollout
from include.lifecycle.rollout.states import State
from include.lifecycle.rollout.ways_back.leftover import find_leftover
from include.lifecycle.rollout.ways_back.rollback_notes import went_back
from include.lifecycle.runtime import Runtime


@dataclass(frozen=True)
class Occasion:
    """What a rollback is about: the kind of its reason, and `leaving`, the version that an alert complains of.

    With `leaving`, nothing is done unless that version is the champion, an open rollout's, or has a share left over: an alert
    says nothing about others. With `unless_back`, a champion stays that got its traffic back a moment ago.
    """

    kind: str = "incident"
    leaving: int | None = None
    unless_back: bool = False


ANY = Occasion()
"""An incident, whichever version has the traffic."""


def refuse_needless(rt: Runtime, hands: Hands, model: str, occasion: Occasion) -> None:
    """GateFailedError, before anything is touched, when what the occasion complains of has no traffic any more."""
    leaving = occasion.leaving
    if leaving is None and not occasion.unless_back:
        return
    with transaction(rt.engine) as connection:
        row = open_rollout(connection, model)
    if row is not None and (row["version"] == leaving or (leaving is None and had_traffic(row))):
        return
    left = find_leftover(rt, hands, model)
    if left is not None and (leaving is None or leaving in left.versions):
        return
    champion = hands.champion_of(rt, model)
    with transaction(rt.engine) as connection:
        refuse_innocent(rt, connection, model, champion, occasion)


def refuse_innocent(
    rt: Runtime, connection: Connection, model: str, champion: int | None, occasion: Occasion, ended: int | None = None
) -> None:
    """GateFailedError when the champion, which has all the traffic, is not what the occasion complains of.

    `ended`: the rollout that this very run ended, which is no way back of somebody else.
    """
    leaving = occasion.leaving
    if leaving is not None and champion != leaving:
        raise GateFailedError(f"{model}: version {leaving} has no traffic to take (champion is {champion}); nothing was changed")
    if occasion.unless_back and (why := went_back(connection, model, rt.settings.upkeep.alert_cooldown, but=ended)):
        raise GateFailedError(f"{model}: {why}; nothing was changed")


def had_traffic(row: RowMapping) -> bool:
    """Whether a rollout's version had traffic, or is about to."""
    return row["state"] != State.PLANNED or row["status"].get("pending") is not None
