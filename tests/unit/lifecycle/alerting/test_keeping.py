"""Old alerts go with all that is theirs; what stands, was answered lately or is not told yet stays, and so does the ledger."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError
from sqlalchemy import func, select

from include.lifecycle.alerting.answering import answer_alert
from include.lifecycle.alerting.keeping import remove_old_alerts
from include.lifecycle.database import transaction
from include.lifecycle.tables import alert_messages, alerts, incidents
from tests.unit.lifecycle.alerting.conftest import WALL, Desk, make_policy

DAY = timedelta(days=1)


@pytest.fixture
def desk(rt):
    return Desk(rt, make_policy(rt, keep="30d"))


def clean(desk, after):
    return remove_old_alerts(desk.rt, lambda _: desk.policy, WALL + after)


def left(rt):
    """Rows of alerts, messages and incidents."""
    with transaction(rt.engine) as connection:
        counts = [select(func.count()).select_from(table) for table in (alerts, alert_messages, incidents)]
        return [connection.execute(count).scalar() for count in counts]


def page_of(rt):
    return rt.storage.reports("churn") / "incident-1.html"


def test_an_incident_goes_with_its_alerts_messages_and_page(desk):
    desk.raised(severity="P0")
    desk.raised(severity="P1", key="other")
    desk.tell()
    desk.resolved()
    desk.resolved("other")
    desk.tell(timedelta(minutes=1))
    assert page_of(desk.rt).is_file()
    facts = len(desk.rt.ledger.read("churn", kind="alert"))
    assert (clean(desk, 29 * DAY), left(desk.rt)[0], page_of(desk.rt).is_file()) == (0, 2, True)
    assert clean(desk, 31 * DAY) == 1
    assert (left(desk.rt), page_of(desk.rt).exists()) == ([0, 0, 0], False)
    assert len(desk.rt.ledger.read("churn", kind="alert")) == facts >= 4
    assert clean(desk, 31 * DAY) == 0


def test_what_stands_stays_and_keeps_its_whole_incident(desk):
    desk.raised(severity="P0")
    desk.raised(severity="P0", key="over")
    desk.tell()
    desk.resolved("over")
    desk.tell()
    answer_alert(desk.rt, 1, "ack", by="ada", reason="")
    before = left(desk.rt)
    assert before[0] == 2
    assert (clean(desk, 4000 * DAY), left(desk.rt)) == (0, before)


def test_what_ended_but_lately_or_was_not_told_yet_stays(desk):
    desk.raised()
    desk.tell()
    desk.resolved()
    assert clean(desk, 31 * DAY) == 0  # nobody heard of its end
    desk.tell(20 * DAY)  # the messages go out now
    assert (clean(desk, 31 * DAY), clean(desk, 51 * DAY)) == (0, 1)


def test_each_model_has_its_own_time(desk):
    for model in ("churn", "fares"):
        desk.raised(model=model, source=f"{model}/model")
    desk.tell()
    for model in ("churn", "fares"):
        desk.resolved(model=model)
    desk.tell()
    of = {"churn": desk.policy, "fares": make_policy(desk.rt, keep="90d")}
    assert remove_old_alerts(desk.rt, of.__getitem__, WALL + 31 * DAY) == 1
    with transaction(desk.rt.engine) as connection:
        assert connection.execute(select(incidents.c.model)).scalars().all() == ["fares"]


@pytest.mark.parametrize("wrong", ["0d", "-1d", "soon"])
def test_the_key_has_its_edges(rt, wrong):
    with pytest.raises(ValidationError):
        make_policy(rt, keep=wrong)
    assert make_policy(rt, keep="1s").keep == timedelta(seconds=1)
