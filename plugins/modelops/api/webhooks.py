"""The door for MLflow's webhooks, under `/modelops/hooks`. An app of its own: MLflow cannot log in to Airflow, it signs instead.

The signature is this route's authentication (401 without one, 403 for one that is wrong, stale or used before); nothing else is
looked at before it is right. What is accepted is a row before the answer is sent; the asset event only wakes `decide`.
"""

import logging
from datetime import UTC, datetime

from airflow.utils.session import create_session
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from include.lifecycle.decisions.webhooks import WebhookRefusedError, read_secret, take_delivery, unsigned, verify
from include.lifecycle.errors import SettingsError, SourceUnavailableError
from include.lifecycle.loading import model_names
from include.lifecycle.runtime import runtime
from modelops.api.doors import read_body
from modelops.assets import signals

log = logging.getLogger(__name__)
LARGEST = 256 * 1024
"""Bytes; MLflow's payloads are a few hundred. More is refused unread: anybody can send here."""

app = FastAPI(title="ModelOps webhooks", docs_url=None, redoc_url=None, openapi_url=None)


@app.post("/mlflow")
async def mlflow(request: Request) -> dict[str, str | None]:
    """Take one delivery of MLflow's; `model` is the one that it asks a training for, null for an event that asks for nothing."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    if unsigned(headers):
        raise HTTPException(401, "not signed")
    return {"model": await run_in_threadpool(_take, headers, await read_body(request, LARGEST))}


def _take(headers: dict[str, str], body: bytes) -> str | None:
    rt = runtime()
    try:
        delivery = verify(headers, body, read_secret(rt.settings.webhook_secret), datetime.now(UTC))
        model = take_delivery(rt, delivery, model_names())
    except WebhookRefusedError as problem:
        log.warning("webhook refused: %s", problem)
        raise HTTPException(401 if problem.unsigned else 403, "the signature is wrong, stale or was used before") from None
    except (SettingsError, SourceUnavailableError) as problem:
        log.error("webhook not taken: %s", problem)
        raise HTTPException(503, "not taken; send it again") from None
    if model is not None:
        _wake_decide()
    return model


def _wake_decide() -> None:
    """One asset event, as any task would emit; when that fails, the next look of `decide` finds the row all the same."""
    from airflow.assets.manager import asset_manager
    from airflow.models.asset import AssetModel
    from sqlalchemy import select

    try:
        with create_session() as session:
            asset = session.scalar(select(AssetModel).where(AssetModel.uri == signals().uri))
            if asset is not None:
                asset_manager.register_asset_change(asset=asset, extra={"from": "mlflow webhook"}, session=session)
    except Exception:  # the row is written: a lost wake-up costs minutes, an error here would make MLflow send it again
        log.exception("decide was not woken; it looks again within minutes")
