"""Rules on alerts: what is more urgent is answered sooner, names are known, and a storm's bound fits into the first answer."""

from __future__ import annotations

from itertools import pairwise

from include.lifecycle.alerting.kinds import ALERT_KINDS, is_signal
from include.lifecycle.rules.view import Found, Rule, View, did_you_mean, number

SEVERITIES = ("P0", "P1", "P2", "P3")


def _in_order(view: View) -> Found:
    for section, grows in (("respond_within", True), ("performance", False)):
        names = SEVERITIES if grows else SEVERITIES[:3]
        for urgent, milder in pairwise(names):
            first, second = (number(view.get(f"alerts.{section}.{name}")) for name in (urgent, milder))
            if first is None or second is None or (first <= second if grows else first >= second):
                continue
            paths = [("alerts", section, name) for name in (urgent, milder)]
            told = "longer" if grows else "below"
            yield view.blamed(*paths), f"{urgent} must not be {told} {'than ' if grows else ''}{milder}'s, the milder one"


def _storm_fits(view: View) -> Found:
    within, first = number(view.get("alerts.storm.within")), number(view.get("alerts.respond_within.P0"))
    if within is not None and first is not None and within > first:
        path = view.blamed(("alerts", "storm", "within"), ("alerts", "respond_within", "P0"))
        yield path, f"alerts.storm.within is {within:g} s; allowed: at most alerts.respond_within.P0, which is {first:g} s"


def _known_kinds(view: View) -> Found:
    found = view.get("alerts.severities")
    for kind in found if isinstance(found, dict) else ():
        name = str(kind).removesuffix(".act")
        if name not in ALERT_KINDS or (name != kind and not is_signal(name)):
            known = did_you_mean(str(kind), list(ALERT_KINDS))
            yield ("alerts", "severities", str(kind)), f"no finding is of this kind{known}; kinds stand in docs/alerts.md"


def _known_roles(view: View) -> Found:
    roles: set[str] = set()
    for severity in SEVERITIES:
        seen: set[str] = set()
        for path, role in view.texts(f"alerts.escalation.{severity}"):
            if role in seen:
                yield path, f"{role!r} stands in this chain twice"
            seen.add(role)
        roles |= seen
    channels = view.get("alerts.channels")
    for role in channels if isinstance(channels, dict) else ():
        if role not in roles:
            yield (
                ("alerts", "channels", str(role)),
                f"no chain of alerts.escalation names this role{did_you_mean(str(role), roles)}",
            )


RULES: tuple[Rule, ...] = (_in_order, _storm_fits, _known_kinds, _known_roles)
