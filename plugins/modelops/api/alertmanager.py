"""The door through which Prometheus' alerts become rows, under `/modelops/prometheus`: for Alertmanager, which shows a token.

An app of its own: the bearer token is its authentication (401 without one, 403 for a wrong one); nothing is looked at before.
"""

import logging

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from include.lifecycle.alerting.from_prometheus import PayloadRefusedError, read_payload, take_alerts
from include.lifecycle.errors import SourceUnavailableError
from include.lifecycle.runtime import runtime
from modelops.api.doors import check_bearer, read_body

log = logging.getLogger(__name__)
LARGEST = 1024 * 1024
"""Bytes; a call holds a group of alerts. More is refused."""

app = FastAPI(title="ModelOps alerts of Prometheus", docs_url=None, redoc_url=None, openapi_url=None)


@app.post("/alerts")
async def alerts(request: Request) -> dict[str, int]:
    """Take one call; `raised` and `resolved` say how many alerts it raised (or counted again) and resolved."""
    await run_in_threadpool(check_bearer, request.headers.get("authorization"))
    return await run_in_threadpool(_take, await read_body(request, LARGEST))


def _take(body: bytes) -> dict[str, int]:
    """Alertmanager repeats a call that was answered 5xx: what was taken before is counted again, never doubled."""
    try:
        return take_alerts(runtime(), read_payload(body))
    except PayloadRefusedError as problem:
        raise HTTPException(422, str(problem)) from None
    except (SourceUnavailableError, SQLAlchemyError) as problem:
        log.error("alerts not taken: %s", problem)
        raise HTTPException(503, "not taken; send it again") from None
