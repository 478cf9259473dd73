"""REST: alerts and incidents of all models, one alert with its messages, and a person's answer. app.py mounts it.

Everybody who may see the plugin reads; who may start the Dag `acknowledge` answers.
"""

from typing import Annotated, Literal

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, Field

from include.lifecycle.alerting.answering import Act, Answered, answer_alert
from include.lifecycle.alerting.listing import (
    Alert,
    AlertDetail,
    Incident,
    find_alert,
    list_alerts,
    list_incidents,
)
from include.lifecycle.database import transaction
from include.lifecycle.errors import GateFailedError
from include.lifecycle.runtime import runtime

router = APIRouter()
Model = Annotated[str | None, Query(description="of this model only")]
SeverityOf = Annotated[Literal["P0", "P1", "P2", "P3"] | None, Query(description="of this severity only")]
Kind = Annotated[str | None, Query(description="of this kind only")]
Closed = Annotated[bool, Query(alias="all", description="those that are over, too")]
Limit = Annotated[int, Query(ge=1, le=500, description="so many at most")]
Before = Annotated[int | None, Query(ge=1, description="only those with a lower id, to read on")]
_MAY_ANSWER = Depends(requires_access_dag("POST", DagAccessEntity.RUN, "acknowledge"))


class AnswerBody(BaseModel):
    """Why; asked for by `resolve`."""

    reason: str = Field(default="", max_length=2000)


@router.get("/alerts")
def alerts(
    model: Model = None,
    severity: SeverityOf = None,
    kind: Kind = None,
    closed: Closed = False,
    limit: Limit = 50,
    before: Before = None,
) -> list[Alert]:
    """What stands, newest first."""
    states = ("open", "acknowledged", "resolved") if closed else ("open", "acknowledged")
    with transaction(runtime().engine) as connection:
        return list_alerts(connection, model, states=states, severity=severity, kind=kind, limit=limit, before=before)


@router.get("/incidents")
def incidents(model: Model = None, limit: Limit = 50) -> list[Incident]:
    """Alerts that shared a source, newest first."""
    with transaction(runtime().engine) as connection:
        return list_incidents(connection, model, limit=limit)


@router.get("/alerts/{number}")
def alert(number: int) -> AlertDetail:
    """One alert with its messages; 404 when there is none of that number."""
    with transaction(runtime().engine) as connection:
        found = find_alert(connection, number)
    if found is None:
        raise HTTPException(404, f"there is no alert {number}")
    return found


@router.post("/alerts/{number}/ack", dependencies=[_MAY_ANSWER])
def acknowledge(number: int, user: GetUserDep, body: AnswerBody | None = None) -> Answered:
    """Take the alert and all of its incident: nobody else is called."""
    return _answer(number, "ack", user.get_name(), body)


@router.post("/alerts/{number}/resolve", dependencies=[_MAY_ANSWER])
def resolve(number: int, user: GetUserDep, body: AnswerBody | None = None) -> Answered:
    """End the alert, with a reason."""
    return _answer(number, "resolve", user.get_name(), body)


def _answer(number: int, act: Act, by: str, body: AnswerBody | None) -> Answered:
    with transaction(runtime().engine) as connection:
        if find_alert(connection, number) is None:
            raise HTTPException(404, f"there is no alert {number}")
    try:
        return answer_alert(runtime(), number, act, by=by, reason=body.reason if body else "")
    except GateFailedError as problem:
        raise HTTPException(422, str(problem)) from None
