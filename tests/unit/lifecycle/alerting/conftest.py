"""Alerts on a real database, with a policy that names channels, and a sender that only keeps what it was handed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from include.lifecycle.alerting.policy import default_policy
from include.lifecycle.alerting.raising import AlertNotice, raise_alert, resolve_alert
from include.lifecycle.alerting.telling import tell_alerts
from include.lifecycle.database import transaction
from include.lifecycle.sections.alerts import AlertsSection
from include.lifecycle.tables import alert_messages, alerts

WALL = datetime.now(UTC) + timedelta(seconds=2)
CHANNELS = {
    "on_call": {"slack": "conn:team", "email": "conn:mail", "pagerduty": "conn:pager", "phone": "conn:call", "sms": "conn:text"},
    "senior": {"slack": "conn:senior_slack", "phone": "conn:senior_call"},
    "head": {"email": "conn:head_mail"},
}


class Desk:
    """Raises, tells and answers as the Dags do; `sent` holds (channel, message) of what went out, the log left out."""

    def __init__(self, rt, policy):
        self.rt, self.policy, self.sent, self.error = rt, policy, [], None

    def notice(self, **changes):
        told = {"model": "churn", "kind": "decay", "severity": "P2", "key": "signal:decay", "title": "Skill is lost"}
        told |= {"reason": "5 %", "source": "churn/model"}
        return AlertNotice.model_validate(told | changes)

    def raised(self, **changes):
        with transaction(self.rt.engine) as connection:
            return raise_alert(connection, self.rt, self.notice(**changes), actor="test")

    def resolved(self, key="signal:decay", model="churn"):
        with transaction(self.rt.engine) as connection:
            return resolve_alert(connection, self.rt, model, key, "healthy", actor="test")

    def tell(self, after=timedelta(0)):
        before = len(self.sent)
        self.told = tell_alerts(self.rt, self._send, policies=lambda _: self.policy, wall=WALL + after)
        return self.sent[before:]

    def _send(self, parcels):
        self.sent += [(parcel.channel, parcel.message) for parcel in parcels if parcel.channel != "log" and not self.error]
        return [self.error if parcel.channel != "log" else None for parcel in parcels]

    def row(self, number):
        with transaction(self.rt.engine) as connection:
            return connection.execute(select(alerts).where(alerts.c.id == number)).mappings().one()

    def messages(self):
        with transaction(self.rt.engine) as connection:
            return connection.execute(select(alert_messages).order_by(alert_messages.c.id)).mappings().all()


@pytest.fixture
def desk(rt):
    return Desk(rt, make_policy(rt))


def make_policy(rt, **changes):
    plain = default_policy(rt.settings).model_dump(mode="json")
    return AlertsSection.model_validate(plain | {"channels": CHANNELS} | changes)
