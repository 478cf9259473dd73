"""Section alerts: how urgent each finding is, who is told by which channel, how soon somebody must answer, and who is next."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from include.lifecycle.sections.base import Name, NotNegative, Positive, Section, Share
from include.lifecycle.units import PositiveDuration

Severity = Literal["P0", "P1", "P2", "P3"]
Medium = Literal["slack", "email", "pagerduty", "sms", "phone"]
FindingKind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,48}(\.act)?$")]
ConnectionRef = Annotated[str, StringConstraints(pattern=r"^conn:[A-Za-z0-9_.-]{1,200}$")]


class ResponseTimes(Section):
    """Wall time in which somebody must acknowledge or end an alert, by its severity; then the next person is told."""

    P0: PositiveDuration = Field(description="the model is down, much performance is lost, security")
    P1: PositiveDuration = Field(description="performance is lost, strong drift, bias")
    P2: PositiveDuration = Field(description="warnings, resources")
    P3: PositiveDuration = Field(description="information")


class Routes(Section):
    """By which media a severity is told; media for which the role has no connection are left out. The log is told always."""

    P0: list[Medium] = Field(description="media of P0")
    P1: list[Medium] = Field(description="media of P1")
    P2: list[Medium] = Field(description="media of P2")
    P3: list[Medium] = Field(description="media of P3")


class Chains(Section):
    """Who is told, one after the other, while nobody acknowledges: roles, the first at once."""

    P0: list[Name] = Field(description="roles told of a P0, in this order")
    P1: list[Name] = Field(description="roles told of a P1, in this order")
    P2: list[Name] = Field(description="roles told of a P2, in this order")
    P3: list[Name] = Field(description="roles told of a P3, in this order")


class PerformanceLadder(Section):
    """Relative loss of skill, as a fraction, above which a decay has this severity."""

    P0: Share = Field(description="fraction of skill lost, at least, that is a P0")
    P1: Share = Field(description="fraction of skill lost, at least, that is a P1")
    P2: Share = Field(description="fraction of skill lost, at least, that is a P2; below it is a P3")


class StormSection(Section):
    """A bound on messages of one channel; what comes beyond it waits and is told in one message."""

    messages: Positive = Field(description="messages that one channel is sent within `within`; the next ones are told together")
    within: PositiveDuration = Field(description="wall time; it must fit into respond_within.P0")


class DeliverySection(Section):
    """How a message is sent."""

    timeout: PositiveDuration = Field(description="wall time after which a channel that hangs is given up; others do not wait")
    attempts: Positive = Field(description="attempts until a message counts as failed, which is an alert of its own")
    backoff: PositiveDuration = Field(description="wall time before the second attempt; doubled before each further one")


class AlertsSection(Section):
    """Who is told of what, how, and who is next when nobody answers. Credentials and addresses stand in Airflow connections."""

    owner: ConnectionRef | None = Field(
        description="conn:<Airflow connection> (type slackwebhook, smtp, pagerduty_events or apprise) that is told of every alert"
    )
    channels: dict[Name, dict[Medium, ConnectionRef]] = Field(
        description="by role and medium (slack, email, pagerduty, sms, phone) the connection, as conn:<Airflow connection>"
    )
    routes: Routes = Field(description="which media a severity is told by")
    escalation: Chains = Field(description="who is told, and who is next")
    respond_within: ResponseTimes = Field(description="how soon somebody must answer")
    severities: dict[FindingKind, Severity] = Field(
        description="severity of a kind of signal or alert; `kind.act` for a signal of that kind whose own severity is act"
    )
    performance: PerformanceLadder = Field(description="severity of a decay by what is surely lost")
    drift: NotNegative = Field(description="distance from which drift of a column or of predictions is as urgent as `kind.act`")
    incident_within: PositiveDuration = Field(
        description="event time; alerts that share a source and come within it of each other are one incident"
    )
    stale_after: PositiveDuration = Field(
        description="wall time after which something that waits for a person or a task is an alert"
    )
    keep: PositiveDuration = Field(
        description="wall time for which closed incidents are kept, with their alerts, messages and pages, after the last of it; "
        "the ledger keeps what was raised and answered for ever"
    )
    runbooks: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="where docs/runbooks.md is read: an address or a path; each alert links to its section there"
    )
    storm: StormSection = Field(description="how many messages a channel is sent")
    delivery: DeliverySection = Field(description="how messages are sent")
