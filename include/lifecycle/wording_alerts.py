"""The section alerts in words, for `cli explain`: who is told by what, how soon somebody must answer, and who is next."""

from __future__ import annotations

from include.lifecycle.alerting.policy import channels_of
from include.lifecycle.sections.alerts import Severity
from include.lifecycle.spec import ModelSpec
from include.lifecycle.units import format_duration as length

_SEVERITIES: tuple[Severity, ...] = ("P0", "P1", "P2", "P3")


def alert_words(spec: ModelSpec) -> str:
    """What happens when something is found; names what is told to nobody, since no channel is set."""
    policy = spec.alerts
    told = {severity: [one for one in channels_of(policy, severity, 0) if one != "log"] for severity in _SEVERITIES}
    if not any(told.values()):
        where = (
            "Alerts stand in the log, the ledger and `cli alerts list` only: no channel is set (alerts.owner, alerts.channels)."
        )
    else:
        where = " ".join(
            f"{severity} goes to {', '.join(channels) if channels else 'the log only'}." for severity, channels in told.items()
        )
    chains = (
        f"{severity} after {length(getattr(policy.respond_within, severity))}: {' > '.join(getattr(policy.escalation, severity))}"
        for severity in _SEVERITIES
    )
    ladder, storm = policy.performance, policy.storm
    return (
        f"{where} What nobody takes goes up the chain ({'; '.join(chains)}). A decay is a P0 when more than {ladder.P0:.0%} of "
        f"skill is surely lost, a P1 above {ladder.P1:.0%}. Alerts of one source within {length(policy.incident_within)} are one "
        f"incident, and told once; a channel gets at most {storm.messages} messages in {length(storm.within)}, the rest in one."
    )
