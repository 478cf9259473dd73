"""The door for Alertmanager, under `/modelops/alerts`. An app of its own: it shows a bearer token, it has no login of Airflow.

The token is this route's authentication (401 without one, 403 for a wrong one); nothing else is looked at before. Each firing
starts one run of Dag `rollback`, named by it; repeated and repeated again, it stays that one.
"""

import logging

from airflow.api.common.trigger_dag import trigger_dag
from airflow.exceptions import DagRunAlreadyExists
from airflow.sdk.exceptions import AirflowException
from airflow.utils.types import DagRunTriggeredByType
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.loading import model_names
from include.lifecycle.rollout.ways_back.alerts import (
    AlertRefusedError,
    RollbackAlert,
    asked_for,
    note_taken,
    taken_before,
)
from include.lifecycle.runtime import runtime
from modelops.api.doors import check_bearer, read_body

log = logging.getLogger(__name__)
LARGEST = 1024 * 1024
"""Bytes; a call holds a group of alerts. More is refused."""
_DAG = "rollback"

app = FastAPI(title="ModelOps alerts", docs_url=None, redoc_url=None, openapi_url=None)


@app.post("/alertmanager")
async def alertmanager(request: Request) -> dict[str, list[str]]:
    """Take one call; `started` names the runs of Dag rollback that it started, `left` says why other alerts started none."""
    await run_in_threadpool(check_bearer, request.headers.get("authorization"))
    return await run_in_threadpool(_take, await read_body(request, LARGEST))


def _take(body: bytes) -> dict[str, list[str]]:
    """Alertmanager repeats a call that was answered 5xx, so everything here may happen again."""
    told: dict[str, list[str]] = {"started": [], "left": []}
    try:
        for alert in asked_for(body, model_names()):
            if why := taken_before(runtime(), alert):
                told["left"].append(f"{alert.model}: {why}")
                continue
            _start(alert)
            note_taken(runtime(), alert, f"run {alert.run_id} of Dag {_DAG}")
            told["started"].append(alert.run_id)
    except AlertRefusedError as problem:
        raise HTTPException(422, str(problem)) from None
    except (SourceUnavailableError, AirflowException, SQLAlchemyError) as problem:
        log.error("alert not taken: %s", problem)
        raise HTTPException(503, "not taken; send it again") from None
    return told


def _start(alert: RollbackAlert) -> None:
    """Start the run; it may be there from a call whose answer was lost."""
    try:
        trigger_dag(
            _DAG,
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name="alertmanager",
            run_id=alert.run_id,
            conf=alert.conf,
        )
    except DagRunAlreadyExists:
        log.info("run %s is there already", alert.run_id)
